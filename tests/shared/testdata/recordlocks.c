/* Record locks (fcntl) in the order of calls that a test asks for, by real processes.
 *
 *   recordlocks inherit FILE OTHER   a child keeps a descriptor of which the parent's close gave the locks back, and
 *                                    exits after the parent locked again
 *   recordlocks loop FILE OTHER N    open, lock, close, open, lock, close, N times
 *   recordlocks many FILE N          N locks of one process
 *
 * After each second lock another process tries to lock FILE and OTHER, the same file on another host, for a while: each try
 * must fail with EAGAIN. The exit status is 1 if one succeeded. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what) { perror(what); exit(2); }

static int must_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) die(path);
	return fd;
}

static int set(int fd, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(fd, F_SETLK, &l);
}

/* taken tells whether another process could lock a file within some tries, a millisecond apart. */
static int taken(const char *path, int tries)
{
	int status;
	pid_t child = fork();
	if (child < 0) die("fork");
	if (child == 0) {
		for (int i = 0; i < tries; i++) {
			int fd = must_open(path);
			if (set(fd, F_WRLCK, 0, 0) == 0) _exit(1);
			if (errno != EAGAIN && errno != EACCES) die("lock by another process");
			close(fd);
			usleep(1000);
		}
		_exit(0);
	}
	if (waitpid(child, &status, 0) < 0) die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) exit(2);
	return WEXITSTATUS(status);
}

/* wanted locks a file, in a moment: the lock of the process before it may be on its way. */
static void wanted(int fd)
{
	for (int i = 0; set(fd, F_WRLCK, 0, 0) != 0; i++) {
		if ((errno != EAGAIN && errno != EACCES) || i == 5000) die("lock");
		usleep(1000);
	}
}

static int inherit(const char *path, const char *other)
{
	int go[2], a = must_open(path), b, status, lost;
	char c;
	pid_t child;
	wanted(a);
	if (pipe(go) != 0) die("pipe");
	if ((child = fork()) < 0) die("fork");
	if (child == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) < 0) die("read");
		_exit(0);
	}
	close(go[0]);
	close(a);
	b = must_open(path);
	wanted(b);
	lost = taken(path, 20) + taken(other, 20);
	close(go[1]);
	if (waitpid(child, &status, 0) < 0) die("waitpid");
	lost += taken(path, 200) + taken(other, 200); /* the open file's release comes some time after its last close */
	printf("%d\n", lost);
	return lost > 0;
}

static int loop(const char *path, const char *other, int n)
{
	int lost = 0;
	for (int i = 0; i < n; i++) {
		int a = must_open(path), b;
		wanted(a);
		close(a);
		b = must_open(path);
		wanted(b);
		lost += taken(i % 2 ? other : path, 3);
		close(b);
	}
	printf("%d\n", lost);
	return lost > 0;
}

static int many(const char *path, int n)
{
	int fd = must_open(path);
	for (int i = 0; i < n; i++)
		if (set(fd, F_WRLCK, 2 * (off_t)i, 1) != 0) die("lock");
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "inherit") == 0) return inherit(argv[2], argv[3]);
	if (argc == 5 && strcmp(argv[1], "loop") == 0) return loop(argv[2], argv[3], atoi(argv[4]));
	if (argc == 4 && strcmp(argv[1], "many") == 0) return many(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: see the source\n");
	return 2;
}
