package timeline

// clocksource is the kernel's name for the counter.
const clocksource = "riscv_clocksource"
