// Command bench measures onggi, crun, runc and a floor in turns, in one run: A C B D, C A D B, …
//
//	make bench                          everything, both cgroup layouts; 12 to 15 minutes
//	make bench-inside                   programs under load in containers and on the host; 5 minutes
//	make bench-shim                     containerd with onggi's shim and with others; 15 minutes
//	make counts                         counts, compared with history.tsv; 20 seconds
//	make counts-update                  adds a column to history.tsv
//	make bench-start                    a start by the number of the host's mounts, with and without the patch of Go; a minute
//
// The environment selects the measurements and their length:
//
//	ONGGI= CRUN= RUNC= FLOOR=           paths of the binaries (PATH and the tree's own otherwise); "none" leaves one out
//	BENCH_ITEMS=                        of lifecycle cold concurrency exec-loop events memory growth
//	BENCH_BUNDLES=                      default, and names of tests/testdata/bundles
//	BENCH_LAYOUTS=hybrid,v2             this machine's own, and pure v2
//	BENCH_LIVES=5                       traced lives of counts; with this setting it counts nothing else, on slow machines
//	BENCH_RUNS=60                       rounds back to back; the others' numbers follow from it
//	BENCH_PAUSED_RUNS=30 BENCH_PAUSE=20ms
//	                                    rounds with a pause before each process; a pause of 0 leaves them out
//	BENCH_CONCURRENCY=1,2,8,32          numbers of processes at once
//	BENCH_BUSY=1                        measure concurrency while other work takes processor time
//	BENCH_CURVE_RUNS=10                 at each point of a curve
//	BENCH_ALIVE=0,100,250,500,1000,2000 containers alive
//	BENCH_GROWTH_LAYOUT=v2              the one layout in which curves are drawn
//	BENCH_PODS=100                      the largest number of pods of bench-shim; its BENCH_ITEMS are exec run rate memory
//	BENCH_OUT=docs/performance          directory of pictures and figures.tsv. With this one, tables go into
//	                                    docs/performance.md and README.md, between marks; otherwise into tables.md there.
//	                                    The first table of docs/performance.md is copied by hand
//
// Its one rule: compare a time only with times of the same run. Machines differ more than runtimes do. The documents keep
// the figures that a run has not measured.
//
// The program starts every competitor by fork and exec, from a thread that lives in its own mount namespace. The time is
// from just before the fork until the exit has been collected. Read main.go for the run; lifecycle.go, load.go, events.go,
// memory.go and growth.go for the measurements; floor/floor.c for the floor; and counts.go for the counts.
package main
