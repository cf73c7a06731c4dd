// Package deadline makes contexts with a time limit that cost nothing until something
// waits for them.
package deadline
