package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command before its arguments, where the library wants them: who knows mount(8) writes
// 'graviton mount DIR -o ro'. What follows "--" stays as it is.
func flagsFirst(commands []*cli.Command, args []string) []string {
	var cmd *cli.Command
	at := 1
	for ; at < len(args); at++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		cmd, commands = commands[i], commands[i].Subcommands
	}
	if cmd == nil || args[len(args)-1] == "--generate-bash-completion" {
		return args
	}
	flags, rest := slices.Clone(args[:at]), []string(nil)
	for ; at < len(args); at++ {
		arg := args[at]
		switch {
		case arg == "--":
			return append(append(flags, rest...), args[at:]...)
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		default:
			flags = append(flags, arg)
			if takesValue(cmd, arg) && at+1 < len(args) {
				at++
				flags = append(flags, args[at])
			}
		}
	}
	return append(flags, rest...)
}

// takesValue reports whether the next argument is the value of this flag.
func takesValue(cmd *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	return slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool {
		doc, ok := f.(cli.DocGenerationFlag)
		return ok && doc.TakesValue() && slices.Contains(f.Names(), name)
	})
}
