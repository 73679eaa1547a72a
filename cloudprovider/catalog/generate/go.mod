module supercargo.dev/cloudprovider/catalog/generate

go 1.26.6
