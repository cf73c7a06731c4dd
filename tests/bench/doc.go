// Command bench measures onggi, crun, runc and a floor, in turn, in one run: A C B D, C A D B, …
//
//	make bench                          everything, both cgroup layouts; 12 to 15 minutes
//	make counts                         what can be counted, against history.tsv; 20 seconds
//	make counts-update                  adds a column to history.tsv
//
// The environment says what is measured, and how long:
//
//	ONGGI= CRUN= RUNC= FLOOR=           paths of the binaries (PATH and the tree's own otherwise); "none" leaves one out
//	BENCH_ITEMS=                        of lifecycle cold concurrency exec-loop events memory growth
//	BENCH_BUNDLES=                      default, and names of tests/testdata/bundles
//	BENCH_LAYOUTS=hybrid,v2             this machine's own, and pure v2
//	BENCH_RUNS=60                       rounds back to back; the others' numbers follow from it
//	BENCH_PAUSED_RUNS=30 BENCH_PAUSE=20ms
//	                                    rounds with a pause before each process; a pause of 0 leaves them out
//	BENCH_CONCURRENCY=1,2,8,32          so many at once
//	BENCH_CURVE_RUNS=10                 at each point of a curve
//	BENCH_ALIVE=0,100,250,500,1000,2000 containers alive
//	BENCH_GROWTH_LAYOUT=v2              the one layout in which curves are drawn
//	BENCH_OUT=docs/performance          pictures and figures.tsv go there. If it is that, tables go into docs/performance.md
//	                                    and README.md, between marks; otherwise into a file tables.md there
//
// Its one rule: a time is only compared with times of the same run. Machines differ more than runtimes do. What has not
// been measured in a run stays as it is in the documents.
//
// Every competitor is started by fork and exec from a thread that lives in its own mount namespace, and timed from just
// before the fork until its exit has been collected. Read main.go for the run, lifecycle.go, load.go, events.go, memory.go
// and growth.go for what is measured, floor/floor.c for the floor, and counts.go for what is counted.
package main
