// Onggi is an OCI container runtime with runc's command line.
//
// The command is a thin user of package libcontainer: a verb parses its flags
// straight into that package's option structs, calls it once, and prints.
//
// A verb is one value of type command (command.go), built by the function of
// its name in the file of its name. Flags are declared as data (flags.go), so
// the parser, the help texts (help.go), the man pages (man.go) and the shell
// completions (completion.go) all read the same declarations.
//
// main.go is the whole way from os.Args to the exit status; log.go is what an
// engine or a person gets to read when a verb fails.
package main
