module github.com/libdbc/libdbc/bindings/go

go 1.24.0
