package timeline

// clocksource is what the kernel calls the counter.
const clocksource = "arch_sys_counter"
