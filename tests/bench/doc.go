// Command bench measures onggi, crun, runc and a floor on one bundle, in one interleaved run: A B C D A B C D …
//
//	make bench                          all items, 100 runs, both cgroup layouts
//	BENCH_RUNS=20 BENCH_ITEMS=run,exec  fewer
//	ONGGI= CRUN= RUNC= FLOOR=           paths of the binaries (PATH and the tree's own otherwise); "none" leaves one out
//	BENCH_LAYOUTS=v2 BENCH_OUT=dir      one layout; where results.md and results.svg go (docs/bench)
//
// Its one rule: a figure is only compared with figures of the same run. Machines differ more than runtimes do.
//
// Every competitor is started by fork and exec from a thread that lives in its own mount namespace, and timed from just
// before the fork until its exit has been collected. Read main.go for the run, items.go for what is measured,
// floor/floor.c for the floor.
package main
