package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

const mib = 1 << 20

func env(pairs ...string) []corev1.EnvVar {
	var out []corev1.EnvVar
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, corev1.EnvVar{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func TestJavaIsRecognisedByCommandArgumentsAndEnvironment(t *testing.T) {
	plain := JVM{MaxRAMPercentage: 25}
	for _, tc := range []struct {
		name      string
		container corev1.Container
		want      JVM
		java      bool
	}{
		{name: "java itself", container: corev1.Container{Command: []string{"/usr/bin/java", "-jar", "app.jar"}}, want: plain, java: true},
		{
			name: "-Xmx among the arguments", container: corev1.Container{Args: []string{"-Xms64m", "-Xmx512m", "-jar", "app.jar"}},
			want: JVM{MaxHeap: 512 * mib, MaxRAMPercentage: 25}, java: true,
		},
		{
			name:      "a shell that runs java",
			container: corev1.Container{Command: []string{"sh", "-c", `sleep 1 && exec java -Xmx1g "-Dname=a b" -jar app.jar`}},
			want:      JVM{MaxHeap: 1024 * mib, MaxRAMPercentage: 25}, java: true,
		},
		{name: "java by a shell without options", container: corev1.Container{Command: []string{"sh", "-c", "java Main"}}, want: plain, java: true},
		{name: "java as a word is not Java", container: corev1.Container{Command: []string{"lint"}, Args: []string{"--language", "java"}}, want: plain},
		{name: "something else", container: corev1.Container{Command: []string{"python", "app.py"}, Env: env("PATH", "/usr/bin")}, want: plain},
		{
			name: "JAVA_TOOL_OPTIONS", container: corev1.Container{Env: env("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75.0 -XX:+UseG1GC")},
			want: JVM{MaxRAMPercentage: 75}, java: true,
		},
		{name: "JAVA_HOME", container: corev1.Container{Env: env("JAVA_HOME", "/opt/jdk")}, want: plain, java: true},
		{name: "the older MaxRAMFraction", container: corev1.Container{Env: env("JAVA_OPTS", "-XX:MaxRAMFraction=2")}, want: JVM{MaxRAMPercentage: 50}, java: true},
		{
			name:      "the command line wins over JAVA_TOOL_OPTIONS",
			container: corev1.Container{Command: []string{"java", "-Xmx256m"}, Env: env("JAVA_TOOL_OPTIONS", "-Xmx512m")},
			want:      JVM{MaxHeap: 256 * mib, MaxRAMPercentage: 25}, java: true,
		},
		{
			name:      "_JAVA_OPTIONS wins over everything",
			container: corev1.Container{Command: []string{"java", "-Xmx256m"}, Env: env("_JAVA_OPTIONS", "-Xmx1024k")},
			want:      JVM{MaxHeap: mib, MaxRAMPercentage: 25}, java: true,
		},
		{
			name:      "bounds outside of the heap",
			container: corev1.Container{Env: env("JAVA_TOOL_OPTIONS", "-Xmx1g -XX:MaxMetaspaceSize=128m -XX:ReservedCodeCacheSize=64m -XX:MaxDirectMemorySize=32m")},
			want:      JVM{MaxHeap: 1024 * mib, MaxRAMPercentage: 25, Metaspace: 128 * mib, CodeCache: 64 * mib, Direct: 32 * mib}, java: true,
		},
		{name: "a size that is none is left out", container: corev1.Container{Command: []string{"java", "-Xmxlots"}}, want: plain, java: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, java := DetectJVM(tc.container)
			if diff := cmp.Diff(tc.want, got); diff != "" || java != tc.java {
				t.Errorf("java %t, want %t (-want +got)\n%s", java, tc.java, diff)
			}
		})
	}
}

func TestTheFloorOfAJVMIsItsHeapAndWhatItNeedsBesides(t *testing.T) {
	for _, tc := range []struct {
		name    string
		jvm     JVM
		limit   int64
		wantMiB int64
	}{
		{"a small heap and 384 MiB", JVM{MaxHeap: 512 * mib}, 0, 896},
		{"a large heap and a tenth", JVM{MaxHeap: 10240 * mib}, 0, 11264},
		{"what is stated outside of the heap", JVM{MaxHeap: 1024 * mib, Metaspace: 128 * mib, CodeCache: 64 * mib, Direct: 32 * mib}, 0, 1312},
		{"a share of the limit", JVM{MaxRAMPercentage: 50}, 2048 * mib, 1408},
		{"at most the limit", JVM{MaxRAMPercentage: 75}, 1024 * mib, 1024},
		{"a share of the node is not known", JVM{MaxRAMPercentage: 75}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.jvm.Floor(tc.limit) / mib; got != tc.wantMiB {
				t.Errorf("%d MiB, want %d", got, tc.wantMiB)
			}
		})
	}
}

func TestAnotherLimitInPlaceIsHeapDriftWhereTheHeapIsAShareOfIt(t *testing.T) {
	resources := requirements("100m", "512Mi", "", "1Gi")
	for _, tc := range []struct {
		name string
		env  []corev1.EnvVar
		want corev1.ResourceRequirements
		java bool
	}{
		{"another limit under MaxRAMPercentage", env("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75"), requirements("100m", "512Mi", "", "2Gi"), true},
		{"another limit under the JVM's default", env("JAVA_HOME", "/opt/jdk"), requirements("100m", "512Mi", "", "768Mi"), true},
		{"the same limit", env("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75"), requirements("200m", "600Mi", "", "1Gi"), false},
		{"a heap of its own", env("JAVA_TOOL_OPTIONS", "-Xmx512m"), requirements("100m", "512Mi", "", "2Gi"), false},
		{"no Java", nil, requirements("100m", "512Mi", "", "2Gi"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Env: tc.env, Resources: resources}}}}
			got := Predict(pod, map[string]corev1.ResourceRequirements{"app": tc.want}, PredictOptions{MemoryLimitDecrease: true})
			if (got != nil && got.Reason == v1alpha1.ReasonJVMHeapDrift) != tc.java {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func FuzzDetectJVM(f *testing.F) {
	f.Add(`exec java -Xmx512m -jar "a b.jar"`, "-XX:MaxRAMPercentage=75")
	f.Add(`'`, "-Xmx9223372036854775807t")
	f.Add("-XX:MaxRAMFraction=0", "-Xmx-1")
	f.Fuzz(func(t *testing.T, command, options string) {
		j, _ := DetectJVM(corev1.Container{Command: []string{"sh", "-c", command}, Env: env("JAVA_TOOL_OPTIONS", options)})
		if j.MaxHeap < 0 || !(j.MaxRAMPercentage > 0 && j.MaxRAMPercentage <= 100) || j.Metaspace < 0 || j.CodeCache < 0 || j.Direct < 0 {
			t.Errorf("%q, %q: %+v", command, options, j)
		}
		if floor := j.Floor(1 << 30); floor < 0 && j.MaxHeap < 1<<60 && j.Metaspace+j.CodeCache+j.Direct < 1<<60 {
			t.Errorf("%q, %q: floor %d of %+v", command, options, floor, j)
		}
	})
}
