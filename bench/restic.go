package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// backUp backs the tree up into a new repository and reads all of it back; each file counts as an operation.
func backUp(ctx context.Context, s *site, m *meter) error {
	repo := s.path("repository")
	err := m.time(0, func() error {
		for _, args := range [][]string{{"init"}, {"backup", s.tree}, {"check", "--read-data"}} {
			cmd := exec.CommandContext(ctx, "restic", append([]string{"--quiet", "--no-cache", "--repo", repo}, args...)...)
			cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=benchmark")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("restic %s: %w: %s", args[0], err, out)
			}
		}
		return nil
	})
	m.ops = s.cfg.Tree
	return err
}
