package panics_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/panics"
)

func TestDo(t *testing.T) {
	cause := errors.New("cause")
	if err := panics.Do(func() error { return cause }); err != cause {
		t.Errorf("an error: %v", err)
	}
	err := panics.Do(func() error { panic(cause) })
	var p *panics.Error
	if !errors.As(err, &p) || !errors.Is(err, cause) || err.Error() != "internal error: cause" {
		t.Errorf("a panic: %v", err)
	}
	if err := panics.Do(func() error { return []error{nil}[len(err.Error())] }); !errors.As(err, &p) {
		t.Errorf("an index: %v", err)
	}
}

// TestGroup has one of several functions panic: the group's error is that, and the context ends.
func TestGroup(t *testing.T) {
	g, ctx := panics.WithContext(t.Context())
	g.Go(func() error { <-ctx.Done(); return nil })
	g.Go(func() error { panic("x") })
	var p *panics.Error
	if err := g.Wait(); !errors.As(err, &p) || p.Value != "x" {
		t.Errorf("the group's error is %v", err)
	}
	var w panics.WaitGroup
	w.Go(func() { panic("y") })
	w.Wait()
}

// TestLoop runs again after a panic, and not after a return or the end of its context.
func TestLoop(t *testing.T) {
	runs := 0
	panics.Loop(t.Context(), func(context.Context) {
		if runs++; runs < 2 {
			panic("again")
		}
	})
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	panics.Loop(ended, func(context.Context) { runs++; panic("last") })
	if runs != 3 {
		t.Errorf("%d runs after its context", runs)
	}
}

// TestEveryGoroutine looks through the program: each goroutine is started by this package.
func TestEveryGoroutine(t *testing.T) {
	for _, dir := range []string{"fs", "cache", "control", "cmd", "backend", "backup", "dump", "config"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && strings.HasSuffix(path, "test") { // a suite for tests
				return fs.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			checkFile(t, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range file.Imports {
		if i.Path.Value == `"golang.org/x/sync/errgroup"` {
			t.Errorf("%s: errgroup lets a panic end the daemon, use panics.Group", path)
		}
	}
	waits := map[string]bool{} // names of sync.WaitGroups
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: use panics.Go", fset.Position(n.Pos()))
		case *ast.Field:
			for _, name := range n.Names {
				waits[name.Name] = waits[name.Name] || isSelector(n.Type, "sync", "WaitGroup")
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				waits[name.Name] = waits[name.Name] || isSelector(n.Type, "sync", "WaitGroup")
			}
		case *ast.CallExpr:
			if isSelector(n.Fun, "time", "AfterFunc") || isSelector(n.Fun, "context", "AfterFunc") {
				t.Errorf("%s: its function may panic in a goroutine of its own", fset.Position(n.Pos()))
			}
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && waits[lastName(s.X)] {
				t.Errorf("%s: use panics.WaitGroup", fset.Position(n.Pos()))
			}
		}
		return true
	})
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
