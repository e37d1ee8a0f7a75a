package differential

import (
	"fmt"
	"runtime"
	"strings"
)

// recorder is a rapid.TB that keeps a failure to itself.
type recorder struct {
	log    strings.Builder
	failed bool
}

func (r *recorder) Helper()                     {}
func (r *recorder) Name() string                { return "differential" }
func (r *recorder) Logf(f string, args ...any)  { fmt.Fprintf(&r.log, f+"\n", args...) }
func (r *recorder) Log(args ...any)             { fmt.Fprintln(&r.log, args...) }
func (r *recorder) Skipf(f string, args ...any) { r.Fatalf(f, args...) }
func (r *recorder) Skip(args ...any)            { r.Fatal(args...) }
func (r *recorder) SkipNow()                    { r.FailNow() }
func (r *recorder) Errorf(f string, a ...any)   { r.Logf(f, a...); r.Fail() }
func (r *recorder) Error(args ...any)           { r.Log(args...); r.Fail() }
func (r *recorder) Fatalf(f string, a ...any)   { r.Logf(f, a...); r.FailNow() }
func (r *recorder) Fatal(args ...any)           { r.Log(args...); r.FailNow() }
func (r *recorder) FailNow()                    { r.failed = true; runtime.Goexit() }
func (r *recorder) Fail()                       { r.failed = true }
func (r *recorder) Failed() bool                { return r.failed }
