package s3test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	gatewayVersion = "v1.8.0"
	gatewayPackage = "github.com/versity/versitygw/cmd/versitygw"
)

var (
	gatewayOnce sync.Once
	gatewayPath string
	errGateway  error
)

// Gateway returns the path of a versitygw binary. The first caller on a machine builds it, at the version pinned in
// tools/versitygw, into the user's cache directory; that takes a few minutes.
func Gateway(ctx context.Context) (string, error) {
	gatewayOnce.Do(func() { gatewayPath, errGateway = buildGateway(ctx) })
	return gatewayPath, errGateway
}

func buildGateway(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "graviton-test", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "versitygw-"+gatewayVersion)
	// Test binaries of several packages may start at once; one builds and the others wait.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-modfile=tools/versitygw/go.mod", "-o", path+".new", gatewayPackage)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw in %s: %w\n%s", root, err, out)
	}
	return path, os.Rename(path+".new", path)
}

// moduleRoot finds the directory of the module's go.mod from this file's place.
func moduleRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	for dir := filepath.Dir(file); ok && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "versitygw", "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("tools/versitygw is not found: was the test built with -trimpath?")
}
