package fs

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// want is every sentinel below this package and the errno that it means, by the name in the source.
var want = map[string]struct {
	err   error
	errno syscall.Errno
}{
	"blob.ErrNotFound":         {blob.ErrNotFound, syscall.EIO},
	"blob.ErrExists":           {blob.ErrExists, syscall.EIO},
	"blob.ErrInvalid":          {blob.ErrInvalid, syscall.EIO},
	"blob.ErrCorrupt":          {blob.ErrCorrupt, syscall.EIO},
	"blob.ErrUnavailable":      {blob.ErrUnavailable, syscall.EIO},
	"blob.ErrUnknownBackend":   {blob.ErrUnknownBackend, syscall.EIO},
	"blob.ErrArchived":         {blob.ErrArchived, syscall.EIO},
	"blob.ErrReadOnly":         {blob.ErrReadOnly, syscall.EROFS},
	"blob.ErrNoSpace":          {blob.ErrNoSpace, syscall.ENOSPC},
	"namespace.ErrNotFound":    {namespace.ErrNotFound, syscall.EIO},
	"namespace.ErrConflict":    {namespace.ErrConflict, syscall.EIO},
	"namespace.ErrCorrupt":     {namespace.ErrCorrupt, syscall.EIO},
	"namespace.ErrUnavailable": {namespace.ErrUnavailable, syscall.EIO},
	"namespace.ErrLost":        {namespace.ErrLost, syscall.EIO},
	"namespace.ErrFenced":      {namespace.ErrFenced, syscall.EIO},
	"namespace.ErrReadOnly":    {namespace.ErrReadOnly, syscall.EROFS},
	"namespace.ErrNoSpace":     {namespace.ErrNoSpace, syscall.ENOSPC},
	"volume.ErrNotFound":       {volume.ErrNotFound, syscall.ENOENT},
	"volume.ErrExists":         {volume.ErrExists, syscall.EEXIST},
	"volume.ErrNotDir":         {volume.ErrNotDir, syscall.ENOTDIR},
	"volume.ErrIsDir":          {volume.ErrIsDir, syscall.EISDIR},
	"volume.ErrNotEmpty":       {volume.ErrNotEmpty, syscall.ENOTEMPTY},
	"volume.ErrNotPermit":      {volume.ErrNotPermit, syscall.EPERM},
	"volume.ErrAccess":         {volume.ErrAccess, syscall.EACCES},
	"volume.ErrInvalid":        {volume.ErrInvalid, syscall.EINVAL},
	"volume.ErrNameTooLong":    {volume.ErrNameTooLong, syscall.ENAMETOOLONG},
	"volume.ErrTooBig":         {volume.ErrTooBig, syscall.EFBIG},
	"volume.ErrTooManyLink":    {volume.ErrTooManyLink, syscall.EMLINK},
	"volume.ErrStale":          {volume.ErrStale, syscall.ESTALE},
	"volume.ErrNoXattr":        {volume.ErrNoXattr, syscall.ENODATA},
	"volume.ErrXattrSize":      {volume.ErrXattrSize, syscall.E2BIG},
	"volume.ErrUnsupported":    {volume.ErrUnsupported, syscall.EOPNOTSUPP},
	"volume.ErrNoData":         {volume.ErrNoData, syscall.ENXIO},
	"volume.ErrReadOnly":       {volume.ErrReadOnly, syscall.EROFS},
	"volume.ErrBadHandle":      {volume.ErrBadHandle, syscall.EBADF},
	"volume.ErrBlobInUse":      {volume.ErrBlobInUse, syscall.EBUSY},
	"volume.ErrExclusive":      {volume.ErrExclusive, syscall.EBUSY},
	"volume.ErrLocked":         {volume.ErrLocked, syscall.EAGAIN},
}

func TestErrno(t *testing.T) {
	for name, w := range want {
		for _, err := range []error{
			w.err,
			fmt.Errorf("wrapped: %w", w.err),
			&blob.Error{Op: "read", Store: "s", Err: w.err},
			&namespace.Error{Op: "commit", Store: "s", Err: fmt.Errorf("%w: more", w.err)},
		} {
			if got := errno(err); got != w.errno {
				t.Errorf("%s as %T is %v, want %v", name, err, got, w.errno)
			}
		}
	}
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{context.Canceled, syscall.EINTR},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), syscall.ETIMEDOUT},
		{fmt.Errorf("anything else"), syscall.EIO},
		// What a file is refused for says more than what the store says.
		{fmt.Errorf("%w: %w", volume.ErrStale, namespace.ErrNotFound), syscall.ESTALE},
	} {
		if got := errno(c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}

// TestErrnoIsComplete finds the sentinels in the source, so that none is forgotten in the table or here.
func TestErrnoIsComplete(t *testing.T) {
	found := map[string]bool{}
	for pkg, dir := range map[string]string{
		"blob": "../backend/blob", "namespace": "../backend/namespace", "volume": "volume",
	} {
		for _, name := range sentinels(t, dir) {
			found[pkg+"."+name] = true
			if _, ok := want[pkg+"."+name]; !ok {
				t.Errorf("%s.%s has no errno in this test", pkg, name)
			}
		}
	}
	listed := map[error]bool{}
	for _, e := range errnos {
		listed[e.err] = true
	}
	for name, w := range want {
		if !found[name] {
			t.Errorf("%s is not in the source", name)
		}
		if !listed[w.err] {
			t.Errorf("%s is not in errno.go", name)
		}
	}
}

// sentinels are the exported Err variables of the package in a folder.
func sentinels(t *testing.T, dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}
