package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An imageDir is the open directory of a checkpoint's images, or of its log. The
// images contain the container's memory. Therefore only root may read them, and
// other users must not be able to put files or links into the directory.
type imageDir struct {
	path string
	dir  *os.File
}

const (
	defaultImages   = "checkpoint"
	factsFile       = "onggi.json"
	descriptorsFile = "descriptors.json" // of runc and crun: the links of descriptors 0 to 2
)

// openImageDir opens a directory. If create is set, it first creates a missing
// directory with mode 0700.
func openImageDir(path string, create bool) (*imageDir, error) {
	if path == "" {
		path = defaultImages
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openImageDirAt(unix.AT_FDCWD, abs, abs, create)
}

// sub opens a directory inside the image directory, and creates it if it is missing.
func (d *imageDir) sub(name string) (*imageDir, error) {
	return openImageDirAt(int(d.dir.Fd()), name, filepath.Join(d.path, name), true)
}

// removeSub removes a directory inside the image directory, with its files. CRIU
// makes no directories inside it.
func (d *imageDir) removeSub(name string) error {
	path := filepath.Join(d.path, name)
	sub, err := openImageDirAt(int(d.dir.Fd()), name, path, false)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.close()
	files, err := sub.dir.Readdirnames(-1)
	if err != nil {
		return &os.PathError{Op: "readdir", Path: path, Err: err}
	}
	for _, file := range files {
		if err := unix.Unlinkat(int(sub.dir.Fd()), file, 0); err != nil && err != unix.ENOENT {
			return &os.PathError{Op: "unlink", Path: filepath.Join(path, file), Err: err}
		}
	}
	if err := unix.Unlinkat(int(d.dir.Fd()), name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

// openImageDirAt opens name relative to the directory at. path is its name in errors.
func openImageDirAt(at int, name, path string, create bool) (*imageDir, error) {
	if create {
		if err := unix.Mkdirat(at, name, 0o700); err != nil && err != unix.EEXIST {
			return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
		}
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, fmt.Errorf("%s is a link or a file: the images need a directory of their own: %w", path, err)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	d := &imageDir{path, os.NewFile(uintptr(fd), path)}
	if err := d.checkOwner(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *imageDir) checkOwner() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstat", Path: d.path, Err: err}
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s (owner %d, mode %04o) can be changed by other users: images need a directory that no other user can change", d.path, st.Uid, st.Mode&0o7777)
	}
	return nil
}

func (d *imageDir) close() { d.dir.Close() }

// workDir opens the directory of the log. The default is the image directory.
// containerd's shim names a symlink of its own: workDir follows one symlink if the
// runtime's user owns it.
func (d *imageDir) workDir(path string) (*imageDir, error) {
	if path == "" {
		return d, nil
	}
	target, err := rootsLink(path)
	if err != nil {
		return nil, err
	}
	return openImageDir(target, true)
}

// rootsLink returns the target of path if path is a symlink of this user, else path.
func rootsLink(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return path, nil //nolint:nilerr // a missing directory is created later; any other error returns there
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK || int(st.Uid) != os.Geteuid() {
		return path, nil
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	if link := string(target[:n]); filepath.IsAbs(link) {
		return link, nil
	}
	return filepath.Join(filepath.Dir(path), string(target[:n])), nil
}

// checkParent checks the option --parent-path. Its errors have runc's texts.
func (d *imageDir) checkParent(parent string) error {
	if parent == "" {
		return nil
	}
	if filepath.IsAbs(parent) {
		return errors.New("--parent-path must be relative")
	}
	real, err := filepath.EvalSymlinks(filepath.Join(d.path, parent))
	if err != nil {
		return fmt.Errorf("invalid --parent-path: %w", err)
	}
	if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return fmt.Errorf("invalid --parent-path: %s is not a directory", real)
	}
	return nil
}

// createLog creates an empty file in place of an old one. CRIU opens its log again by
// name and truncates it.
func (d *imageDir) createLog(name string) (*os.File, error) {
	path := filepath.Join(d.path, name)
	if err := unix.Unlinkat(int(d.dir.Fd()), name, 0); err != nil && err != unix.ENOENT {
		return nil, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	fd, err := unix.Openat(int(d.dir.Fd()), name, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// save writes a JSON file to the images and syncs it to disk.
func (d *imageDir) save(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := d.createLog(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *imageDir) saveFacts(facts *dumpFacts) error {
	return errors.Join(d.save(descriptorsFile, facts.Descriptors), d.save(factsFile, facts), d.dir.Sync())
}

// maxFacts bounds the size, in bytes, of a JSON file in the images.
const maxFacts = 4 << 20

// load reads a JSON file of the images. The error for a missing file is
// os.ErrNotExist.
func (d *imageDir) load(name string, v any) error {
	data, err := d.read(name, maxFacts)
	if errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("%s/%s: damaged: %w", d.path, name, err)
	}
	return nil
}

// read reads a file of at most limit bytes.
func (d *imageDir) read(name string, limit int64) ([]byte, error) {
	fd, err := unix.Openat(int(d.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than the limit of %d bytes", limit)
	}
	return data, err
}

// parentLink is CRIU's symlink to the directory of the parent's images.
const parentLink = "parent"

// dropParent removes the link of an earlier dump into the directory. CRIU would keep
// it, and would omit pages that only the earlier parent has.
func (d *imageDir) dropParent(parent string) error {
	if filepath.Clean(parent) == parentLink {
		return nil // the caller's
	}
	err := unix.Unlinkat(int(d.dir.Fd()), parentLink, 0)
	if err != nil && err != unix.ENOENT && err != unix.EISDIR {
		return &os.PathError{Op: "unlink", Path: filepath.Join(d.path, parentLink), Err: err}
	}
	return nil
}

// splitPageServer parses ADDRESS:PORT.
func splitPageServer(s string) (address string, port int32, err error) {
	if s == "" {
		return "", 0, nil
	}
	i := strings.LastIndexByte(s, ':')
	n := 0
	if i > 0 {
		for _, c := range s[i+1:] {
			if c < '0' || c > '9' || n > 65535 {
				n = -1
				break
			}
			n = n*10 + int(c-'0')
		}
	}
	if i <= 0 || n <= 0 || n > 65535 {
		return "", 0, fmt.Errorf("--page-server %q: use ADDRESS:PORT to specify the page server", s)
	}
	return strings.Trim(s[:i], "[]"), int32(n), nil
}
