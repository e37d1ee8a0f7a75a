package differential

import (
	"errors"
	"sort"

	"golang.org/x/sys/unix"
)

// call describes one system call: which fields of Op it uses, how often it is drawn, and how to
// make it. values, where set, are the choices for a field with a meaning of its own.
type call struct {
	fields []string
	weight int
	flags  []bit // the bits (or, with oneFlag, the values) that Flags is drawn from
	one    bool  // Flags is one of the values, not a set of bits
	run    func(s *side, op Op) Outcome
}

// calls is the table of everything that a sequence can do.
var calls = merge(nameCalls(), attributeCalls(), xattrCalls(), aclCalls(), descriptorCalls(), dataCalls())

func merge(tables ...map[string]*call) map[string]*call {
	all := make(map[string]*call)
	for _, table := range tables {
		for name, c := range table {
			all[name] = c
		}
	}
	return all
}

// callNames lists the calls in a fixed order, each as often as its weight says.
func callNames() []string {
	var names []string
	for name, c := range calls {
		for range c.weight {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// result makes an outcome of an error alone.
func result(err error) Outcome { return count(0, err) }

// count makes an outcome of a number and an error.
func count(n int, err error) Outcome { return count64(int64(n), err) }

// count64 makes an outcome of a number and an error. Anything but an errno is the harness's own
// mistake and must not pass for an answer of the filesystem.
func count64(n int64, err error) Outcome {
	if err == nil {
		return Outcome{Ret: n}
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		panic(err)
	}
	return Outcome{Ret: -1, Errno: errno}
}

// opened puts a descriptor into the op's slot and says nothing about its number.
func opened(s *side, slot, fd int, err error) Outcome {
	if err != nil {
		return result(err)
	}
	s.fill(slot, fd)
	return Outcome{}
}

// blob returns n bytes that depend on seed: equal on both sides, different between writes.
func blob(seed int, n int64) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 12345
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x>>24) | 1 // never zero: a hole and data always differ
	}
	return p
}
