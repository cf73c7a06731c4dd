// Package cli is the framework of onggi's command line: it parses flags, and it writes the
// help texts, the man pages and the shell completions.
//
// All of them read the same declarations. A [Program] has commands and global flags. A
// [Command] is data, but for one function: Define declares the flags and returns the
// action. Parser, help, man pages and completions call Define anew, so a flag is declared in
// one place.
//
// # The one rule
//
// The package knows no verb and no container. The type parameter C is the argument of an
// action, which the package passes on.
//
// # Files
//
//	command.go     programs, commands, the number of arguments
//	flags.go       flags: declare, parse
//	suggest.go     the word that is most similar to a mistyped one
//	errors.go      a command line that cannot be parsed
//	help.go        help texts
//	man.go         man pages
//	completion.go  shell completions, with one file for each shell
//
// Package flag is not used, because it reports a mistake as a finished sentence. Larger
// packages for command lines cost up to 0.9 ms at each start.
package cli
