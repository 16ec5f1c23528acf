package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildRevision builds millrace as it is at a git revision of the repository
// that the working directory lies in, and puts the binary into dir. The
// revision "." is the working tree as it lies. The sources are checked out to
// a directory of their own, which is removed again: the working tree is not
// touched.
func buildRevision(ctx context.Context, rev, dir string) (binary string, err error) {
	top, err := tool(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", fmt.Errorf("--rev %s: %w (run it inside millrace's git repository)", rev, err)
	}
	source := top
	if rev != "." {
		hash, err := tool(ctx, top, "git", "rev-parse", "--verify", "--end-of-options", rev+"^{commit}")
		if err != nil {
			return "", fmt.Errorf("--rev %s: no such revision: %w", rev, err)
		}
		source = filepath.Join(dir, "source-"+hash)
		if _, err := tool(ctx, top, "git", "worktree", "add", "--detach", "--force", source, hash); err != nil {
			return "", fmt.Errorf("--rev %s: %w", rev, err)
		}
		defer func() {
			_, _ = tool(context.WithoutCancel(ctx), top, "git", "worktree", "remove", "--force", source)
		}()
		binary = filepath.Join(dir, "millrace-"+hash)
	} else {
		binary = filepath.Join(dir, "millrace-worktree")
	}
	if _, err := os.Stat(filepath.Join(source, "cmd", "millrace")); err != nil {
		return "", fmt.Errorf("--rev %s: it has no cmd/millrace: is %s millrace's repository?", rev, top)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/millrace")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("--rev %s does not build: %w\n%s", rev, err, bytes.TrimSpace(out))
	}
	return binary, nil
}

// tool runs a program and returns the one line it says.
func tool(ctx context.Context, dir string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if said := strings.TrimSpace(stderr.String()); said != "" {
			err = fmt.Errorf("%s", said[strings.LastIndexByte(said, '\n')+1:])
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}
