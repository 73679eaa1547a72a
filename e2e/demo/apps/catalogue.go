package apps

// Namespaces of the applications.
const (
	BoutiqueNamespace = "boutique"
	SockShopNamespace = "sock-shop"
	BatchNamespace    = "batch"
)

// OurScheduler is the schedulerName of pods that Supercargo's scheduler places.
const OurScheduler = "supercargo-scheduler"

// Amount of CPU in thousandths of a core and of memory in MiB.
type Amount struct{ MilliCPU, MemoryMi int64 }

// Spreading says how the pods of a service are kept apart.
type Spreading int

const (
	// SpreadLoosely prefers an even share in each zone.
	SpreadLoosely Spreading = iota
	// SpreadZones demands an even share in each zone that has nodes.
	SpreadZones
	// SpreadHosts demands that no node has two pods more than another.
	SpreadHosts
	// SpreadApart prefers a node without another pod of the service.
	SpreadApart
)

// Service is a Deployment with one container.
type Service struct {
	Name, Container  string
	Requests, Limits Amount // zero where the published manifest states none
	Replicas         int32
	Spreading        Spreading
	// Data marks a database or broker: one replica, never on spot, its resources left for a person to review.
	Data bool
}

// Application is a published application.
type Application struct {
	Title, Namespace string
	// Source is the manifest that requests and limits were read from.
	Source string
	// Scheduler is the schedulerName of its pods; empty: the cluster's default.
	Scheduler string
	Services  []Service
}

// Pods counts the replicas of all services.
func (a Application) Pods() int {
	n := 0
	for i := range a.Services {
		n += int(a.Services[i].Replicas)
	}
	return n
}

// Boutique is Google's Online Boutique, its load generator left out, with so many replicas of each service.
func Boutique(replicas int32) Application {
	service := func(name string, requests, limits Amount, spreading Spreading) Service {
		return Service{Name: name, Container: "server", Requests: requests, Limits: limits, Replicas: replicas, Spreading: spreading}
	}
	small, smallLimit := Amount{100, 64}, Amount{200, 128}
	return Application{
		Title: "Online Boutique", Namespace: BoutiqueNamespace, Scheduler: OurScheduler,
		Source: "GoogleCloudPlatform/microservices-demo release/kubernetes-manifests.yaml",
		Services: []Service{
			service("emailservice", small, smallLimit, SpreadLoosely),
			service("checkoutservice", small, smallLimit, SpreadLoosely),
			service("recommendationservice", Amount{100, 220}, Amount{200, 450}, SpreadLoosely),
			service("frontend", small, smallLimit, SpreadZones),
			service("paymentservice", small, smallLimit, SpreadApart),
			service("productcatalogservice", small, smallLimit, SpreadLoosely),
			service("cartservice", Amount{200, 64}, Amount{300, 128}, SpreadHosts),
			service("currencyservice", small, smallLimit, SpreadLoosely),
			service("shippingservice", small, smallLimit, SpreadLoosely),
			service("adservice", Amount{200, 180}, Amount{300, 300}, SpreadLoosely),
			{Name: "redis-cart", Container: "redis", Requests: Amount{70, 200}, Limits: Amount{125, 256}, Replicas: 1, Data: true},
		},
	}
}

// SockShop is Weaveworks' Sock Shop with so many replicas of each service, and one of each database.
func SockShop(replicas int32) Application {
	service := func(name string, requests, limits Amount, spreading Spreading) Service {
		return Service{Name: name, Container: name, Requests: requests, Limits: limits, Replicas: replicas, Spreading: spreading}
	}
	data := func(name string) Service { return Service{Name: name, Container: name, Replicas: 1, Data: true} }
	return Application{
		Title: "Sock Shop", Namespace: SockShopNamespace,
		Source: "microservices-demo/microservices-demo deploy/kubernetes/complete-demo.yaml",
		Services: []Service{
			service("carts", Amount{100, 200}, Amount{300, 500}, SpreadLoosely),
			service("catalogue", Amount{100, 100}, Amount{200, 200}, SpreadApart),
			service("front-end", Amount{100, 300}, Amount{300, 1000}, SpreadLoosely),
			service("orders", Amount{100, 300}, Amount{500, 500}, SpreadLoosely),
			service("payment", Amount{99, 100}, Amount{200, 200}, SpreadLoosely),
			service("queue-master", Amount{100, 300}, Amount{300, 500}, SpreadLoosely),
			service("shipping", Amount{100, 300}, Amount{300, 500}, SpreadLoosely),
			service("user", Amount{100, 100}, Amount{300, 200}, SpreadLoosely),
			data("carts-db"), data("catalogue-db"), data("orders-db"), data("rabbitmq"), data("session-db"), data("user-db"),
		},
	}
}
