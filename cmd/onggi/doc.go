// Onggi is an OCI container runtime with runc's command line.
//
// The command is a thin user of package libcontainer: a verb parses its flags
// straight into that package's option structs, calls it once, and prints.
//
// A verb is one value of type command (command.go). The function with the name of the
// verb builds it, in the file with the name of the verb. Package internal/cli is the
// framework: it parses flags, and writes help texts, man pages and shell completions.
//
// main.go shows the whole way from os.Args to the exit status. log.go writes the
// messages that an engine or a person reads when a verb fails.
package main
