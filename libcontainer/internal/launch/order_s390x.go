package launch

// cloneFlags is the index of the flags among the arguments of clone(2), behind the stack
// (CONFIG_CLONE_BACKWARDS2).
const cloneFlags = 1
