/*
 * A folder that the web server serves.  A file appears whole or not at all:
 * temporary file, fsync, link to its name, fsync of the folder.
 */
#include "config.h"

#include "storage/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define NAME_BYTES 200	/* of a file or folder; the temporary one's is longer */

struct local {
	char *dir;
	char *public_url;
	char *input_dir;
};

static const struct cfg_row options[] = {
	{ "storage_dir", CFG_STR, offsetof(struct local, dir), .max = 1024,
	  .doc = "With `storage = local`: the folder that outputs are written below. It has to exist "
		"and to be writable." },
	{ "storage_public_url", CFG_STR, offsetof(struct local, public_url), .max = 1024,
	  .doc = "With `storage = local`: the URL under which the web server serves `storage_dir`." },
	{ "storage_input_dir", CFG_STR, offsetof(struct local, input_dir), .max = 1024,
	  .doc = "With `storage = local`: the folder that inputs are kept below, as in `supabase_input_bucket`. It has to "
		"exist and to be writable, and the web server must not serve it but by the links of `/signed/`: not "
		"inside `storage_dir`. Without it inputs are https URLs and small `data:` URIs only." },
	CFG_END
};

static const char *
folder_of(const struct local *local, enum storage_area area)
{
	return area == STORAGE_INPUTS ? local->input_dir : local->dir;
}

static void
check_folder(const char *name, const char *dir, struct buf *mistakes)
{
	struct stat st;

	if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		cfg_mistake(mistakes, name, "%s is no folder", dir);
	else if (access(dir, W_OK))
		cfg_mistake(mistakes, name, "%s is not writable", dir);
}

/* Symbolic links may still lead there; `gengate check` tries. */
static bool
is_inside(const char *dir, const char *outer)
{
	size_t len = strlen(outer);

	while (len > 1 && outer[len - 1] == '/')
		len--;
	return strncmp(dir, outer, len) == 0 && (dir[len] == '/' || dir[len] == '\0');
}

static void
check(const void *settings, struct buf *mistakes)
{
	const struct local *local = settings;

	if (!local->dir)
		cfg_mistake(mistakes, "storage_dir", "has to be set with storage = local");
	else
		check_folder("storage_dir", local->dir, mistakes);
	if (local->input_dir)
		check_folder("storage_input_dir", local->input_dir, mistakes);
	if (local->dir && local->input_dir && is_inside(local->input_dir, local->dir))
		cfg_mistake(mistakes, "storage_input_dir", "must not be inside storage_dir, which everybody can read");
	if (!local->public_url)
		cfg_mistake(mistakes, "storage_public_url", "has to be set with storage = local");
}

static bool
takes_inputs(const void *settings)
{
	return ((const struct local *)settings)->input_dir != NULL;
}

static enum err_code
io_error(struct err *err, const char *what, const char *key)
{
	/* A full or broken disk may be mended. */
	return err_set(err, ERR_UPSTREAM, "%s %s: %s", what, key, strerror(errno));
}

/* Names with something in them, none of which is hidden or leads up. */
static bool
is_path_of_ours(const char *key)
{
	for (;;) {
		size_t len = strcspn(key, "/");

		if (len == 0 || len > NAME_BYTES || key[0] == '.')
			return false;
		if (key[len] == '\0')
			return true;
		key += len + 1;
	}
}

/* The last folder of a key below dir, open; the folders are made if they are
 * wanted, else *ret may be -1 without an error: one is not there.  On failure
 * errno says why. */
static enum err_code
open_folder(const char *dir, const char *key, bool make, int *ret, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *at = key, *slash;
	enum err_code rc;
	int error;

	for (; fd >= 0 && (slash = strchr(at, '/')); at = slash + 1) {
		char name[NAME_BYTES + 1];
		size_t len = (size_t)(slash - at);
		int below;

		memcpy(name, at, len);
		name[len] = '\0';
		if (make && mkdirat(fd, name, 0755) == 0)
			fsync(fd);
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0 && errno == ENOENT && !make) {
			close(fd);
			*ret = -1;
			return ERR_OK;
		}
		error = errno;
		close(fd);
		errno = error;
		fd = below;
	}
	if (fd < 0) {
		error = errno;
		rc = io_error(err, "folder of", key);
		errno = error;
		return rc;
	}
	*ret = fd;
	return ERR_OK;
}

static int
copy(int to, int from, uint64_t bytes)
{
	char block[65536];
	uint64_t done = 0;

	while (done < bytes) {
		size_t want = bytes - done < sizeof block ? (size_t)(bytes - done) : sizeof block;
		ssize_t n = pread(from, block, want, (off_t)done);

		if (n == 0)
			errno = EIO;	/* it ends before its time */
		if (n <= 0 || pwrite(to, block, (size_t)n, (off_t)done) != n)
			return -1;
		done += (uint64_t)n;
	}
	return fsync(to);
}

/* Another attempt may have put it there: the key holds the content's hash. */
static enum err_code
already_there(int folder, const char *name, const struct storage_file *file, struct err *err)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
		return io_error(err, "file", file->key);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_REFUSED, "%s is there already and no file", file->key);
	if ((uint64_t)st.st_size != file->bytes)
		return err_set(err, ERR_REFUSED, "%s is there already with %lld bytes, not %llu",
			file->key, (long long)st.st_size, (unsigned long long)file->bytes);
	return ERR_OK;
}

static enum err_code
put(const void *settings, struct http_client *http, const struct storage_file *file,
	struct err *err)
{
	const struct local *local = settings;
	const char *slash = strrchr(file->key, '/');
	const char *name = slash ? slash + 1 : file->key;
	struct buf temp = BUF_INIT(512);
	int folder = -1, fd = -1;
	enum err_code rc;

	(void)http;
	if (!is_path_of_ours(file->key))
		return err_set(err, ERR_REFUSED, "key \"%s\" is no path of ours", file->key);
	rc = open_folder(folder_of(local, file->area), file->key, true, &folder, err);
	if (rc)
		return rc;
	buf_printf(&temp, ".%s.%ld.%d.part", name, (long)getpid(), file->fd);
	if (temp.err) {
		rc = err_set(err, temp.err, "name of %s", file->key);
		goto out;
	}
	/* A killed process may have left one of that name, linked to what it
	 * published: that must not be written to. */
	unlinkat(folder, buf_str(&temp), 0);
	fd = openat(folder, buf_str(&temp), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		rc = io_error(err, "write", file->key);
		goto out;
	}
	/* link(2) never replaces what is there, rename(2) would. */
	if (copy(fd, file->fd, file->bytes))
		rc = io_error(err, "write", file->key);
	else if (linkat(folder, buf_str(&temp), folder, name, 0) == 0)
		rc = fsync(folder) ? io_error(err, "sync folder of", file->key) : ERR_OK;
	else if (errno == EEXIST)
		rc = already_there(folder, name, file, err);
	else
		rc = io_error(err, "link", file->key);
	unlinkat(folder, buf_str(&temp), 0);
out:
	if (fd >= 0)
		close(fd);
	close(folder);
	buf_clear(&temp);
	return rc;
}

/* What a put() that was killed has left of this file. */
static void
remove_parts(int folder, const char *name)
{
	size_t len = strlen(name);
	int fd = dup(folder);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!dir && fd >= 0)
		close(fd);
	if (dir)
		rewinddir(dir);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] == '.' && strncmp(e->d_name + 1, name, len) == 0 && e->d_name[1 + len] == '.')
			unlinkat(folder, e->d_name, 0);
	if (dir)
		closedir(dir);
}

/* The job's own folder goes with its last file; the owner's may be in use. */
static enum err_code
remove_folder(const char *dir, const char *key, struct err *err)
{
	const char *slash = strrchr(key, '/');
	struct buf path = BUF_INIT(4096);
	enum err_code rc = ERR_OK;

	if (!slash)
		return ERR_OK;
	buf_printf(&path, "%s/%.*s", dir, (int)(slash - key), key);
	if (path.err)
		rc = err_set(err, path.err, "folder of %s", key);
	else if (rmdir(buf_str(&path)) && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		rc = io_error(err, "remove folder of", key);
	buf_clear(&path);
	return rc;
}

static enum err_code
remove_file(const void *settings, struct http_client *http, enum storage_area area,
	const char *key, struct err *err)
{
	const char *dir = folder_of(settings, area);
	const char *slash = strrchr(key, '/');
	const char *name = slash ? slash + 1 : key;
	int folder = -1;
	enum err_code rc;

	(void)http;
	if (!is_path_of_ours(key))
		return err_set(err, ERR_REFUSED, "key \"%s\" is no path of ours", key);
	rc = open_folder(dir, key, false, &folder, err);
	if (rc || folder < 0)
		return rc;
	remove_parts(folder, name);
	if (unlinkat(folder, name, 0) && errno != ENOENT)
		rc = io_error(err, "remove", key);
	else if (fsync(folder))
		rc = io_error(err, "sync folder of", key);
	close(folder);
	return rc ? rc : remove_folder(dir, key, err);
}

/* A regular file, never by a link: it would lead out of the folder. */
static enum err_code
open_file(const void *settings, enum storage_area area, const char *key, int *ret_fd, struct err *err)
{
	const char *slash = strrchr(key, '/');
	int folder = -1, fd;
	struct stat st;
	enum err_code rc;

	if (!is_path_of_ours(key))
		return err_set(err, ERR_NOT_FOUND, "key \"%s\" is no path of ours", key);
	rc = open_folder(folder_of(settings, area), key, false, &folder, err);
	if (rc && errno != ENOTDIR && errno != ELOOP)
		return rc;
	if (folder < 0)
		return err_set(err, ERR_NOT_FOUND, "there is no folder of %s", key);
	fd = openat(folder, slash ? slash + 1 : key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(folder);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? err_set(err, ERR_NOT_FOUND, "there is no file %s", key)
			: io_error(err, "open", key);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, ERR_NOT_FOUND, "%s is no file", key);
	}
	*ret_fd = fd;
	return ERR_OK;
}

static enum err_code
look(const void *settings, struct http_client *http, enum storage_area area, const char *key,
	struct err *err)
{
	int fd = -1;
	enum err_code rc = open_file(settings, area, key, &fd, err);

	(void)http;
	if (!rc)
		close(fd);
	return rc;
}

static void
put_url(struct buf *out, const char *base, const char *key)
{
	size_t len = strlen(base);

	buf_put(out, base, len > 0 && base[len - 1] == '/' ? len - 1 : len);
	buf_putc(out, '/');
	buf_put_urlenc(out, key, strlen(key), "/");
}

static enum err_code
public_url(const void *settings, enum storage_area area, const char *key, struct buf *out)
{
	(void)area;	/* where a mistake would show them */
	put_url(out, ((const struct local *)settings)->public_url, key);
	return out->err;
}

const struct storage storage_local = {
	.name = "local",
	.title = "Local storage",
	.options = options,
	.settings_size = sizeof(struct local),
	.check = check,
	.takes_inputs = takes_inputs,
	.put = put,
	.remove = remove_file,
	.look = look,
	.open = open_file,
	.public_url = public_url,
};
