module pollbridge/bench

go 1.26.0
