package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
)

// PreDumpGoal ends the pre-dumps of a checkpoint. A pre-dump that writes at most Size
// bytes of memory reaches the goal, and one that writes at most the part Ratio of the
// first one. The zero value means no pre-dumps.
type PreDumpGoal struct {
	Size  uint64  // bytes
	Ratio float64 // above 0 and below 1
}

const (
	// maxPreDumps bounds the pre-dumps of one checkpoint. Each one needs a directory,
	// and a restore opens all of them.
	maxPreDumps = 16
	// shrinkage is the least part of the memory by which the next pre-dump has to be
	// smaller. Below it, a further pre-dump costs more time than it saves.
	shrinkage = 8 // an eighth
)

// reached reports whether the pre-dumps end. written has the bytes of each one so far.
func (g PreDumpGoal) reached(written []uint64) bool {
	if len(written) == 0 {
		return false
	}
	first, last := written[0], written[len(written)-1]
	if last <= g.Size || float64(last) <= g.Ratio*float64(first) || len(written) >= maxPreDumps {
		return true
	}
	if len(written) == 1 {
		return false
	}
	before := written[len(written)-2]
	return last > before-before/shrinkage
}

// check refuses a goal that has no meaning, or that contradicts other options.
func (o *CheckpointOptions) checkGoal() error {
	g := o.PreDumpUntil
	if g == (PreDumpGoal{}) {
		return nil
	}
	if g.Ratio < 0 || g.Ratio >= 1 || g.Ratio != g.Ratio {
		return fmt.Errorf("--pre-dump-until: the ratio %v is not between 0 and 1", g.Ratio)
	}
	for _, other := range []struct {
		set  bool
		flag string
	}{{o.PreDump, "--pre-dump"}, {o.LazyPages, "--lazy-pages"}, {o.PageServer != "", "--page-server"}} {
		if other.set {
			return errors.New("--pre-dump-until and " + other.flag + " exclude each other")
		}
	}
	return nil
}

// preDumpName returns the name of the nth pre-dump, from 1, and of its directory.
func preDumpName(n int) string { return "pre-" + strconv.Itoa(n) }

// checkParentName refuses a parent whose directory the pre-dumps would replace.
func (d *dump) checkParentName() error {
	if d.o.PreDumpUntil == (PreDumpGoal{}) || d.o.ParentPath == "" {
		return nil
	}
	first, _, _ := strings.Cut(filepath.Clean(d.o.ParentPath), "/")
	for n := range maxPreDumps {
		if first == preDumpName(n+1) {
			return fmt.Errorf("invalid --parent-path: --pre-dump-until replaces %s", first)
		}
	}
	return nil
}

// preDumps writes the memory again and again, while the container runs. Each pre-dump
// writes only the pages that changed since the one before. The last one becomes the
// parent of the dump.
func (d *dump) preDumps(ctx context.Context) error {
	if d.o.PreDumpUntil == (PreDumpGoal{}) {
		return nil
	}
	for n := range maxPreDumps { // an earlier checkpoint's
		if err := d.images.removeSub(preDumpName(n + 1)); err != nil {
			return err
		}
	}
	parent := ""
	if d.o.ParentPath != "" {
		parent = filepath.Join("..", d.o.ParentPath)
	}
	var written []uint64
	for !d.o.PreDumpUntil.reached(written) {
		name := preDumpName(len(written) + 1)
		n, err := d.preDump(ctx, name, parent)
		if err != nil {
			return err
		}
		written, parent = append(written, n), filepath.Join("..", name)
		d.o.ParentPath = name
	}
	return nil
}

// preDump writes one pre-dump into a directory inside the image directory. It returns
// the bytes of memory that CRIU wrote.
func (d *dump) preDump(ctx context.Context, name, parent string) (uint64, error) {
	round := *d
	round.o.PreDump, round.o.ParentPath, round.o.Status = true, parent, nil
	round.phase = name
	var err error
	if round.images, err = d.images.sub(name); err != nil {
		return 0, err
	}
	defer round.images.close()
	round.work = round.images
	if round.log, err = round.work.createLog("dump.log"); err != nil {
		return 0, err
	}
	defer round.log.Close()
	if err := round.write(ctx); err != nil {
		return 0, err
	}
	return round.written()
}

// written reads CRIU's statistics of this dump.
func (d *dump) written() (uint64, error) {
	data, err := d.work.read("stats-dump", criu.MaxStats)
	if err != nil {
		return 0, err
	}
	pages, err := criu.PagesWritten(data)
	if err != nil {
		return 0, fmt.Errorf("%s/stats-dump: %w", d.work.path, err)
	}
	return pages * uint64(os.Getpagesize()), nil
}
