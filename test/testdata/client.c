/* A program as one written for the KBUS module: plain system calls, pointy and
 * entire messages, select, poll and epoll, fork and dup. It says what is wrong and
 * exits with 1, or prints "ok". */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

struct header {
	uint32_t start, id[2], in_reply_to[2], to, from, orig_from[2], final_to[2], extra, flags, name_len, data_len;
	char *name;
	void *data;
	uint32_t end;
};
struct bind { uint32_t is_replier, name_len; char *name; };

#define BIND _IOW('k', 2, char *)
#define KSOCKID _IOR('k', 4, char *)
#define REPLIER _IOWR('k', 5, char *)
#define NEXTMSG _IOR('k', 6, char *)
#define SEND _IOR('k', 8, char *)

#define CHECK(cond) do { if (!(cond)) { printf("line %d: %s (errno %d)\n", __LINE__, #cond, errno); exit(1); } } while (0)

static void bind_name(int fd, int replier, char *name)
{
	struct bind b = { replier, strlen(name), name };
	CHECK(ioctl(fd, BIND, &b) == 0);
}

static void send_pointy(int fd, uint32_t flags, char *name, char *data)
{
	struct header h = { .start = 0x7375624B, .flags = flags, .name_len = strlen(name), .data_len = strlen(data),
			    .name = name, .data = data, .end = 0x4B627573 };
	uint32_t id[2];
	CHECK(write(fd, &h, sizeof h) == sizeof h);
	CHECK(ioctl(fd, SEND, id) == 0 && id[1] != 0);
}

/* receive takes the next message and gives its header; its data goes to data. */
static struct header receive(int fd, char *data)
{
	uint32_t len;
	static char buf[500000];
	struct header h;
	CHECK(ioctl(fd, NEXTMSG, &len) == 1 && len > sizeof h && len < sizeof buf);
	CHECK(read(fd, buf, len) == (ssize_t)len && read(fd, buf + len, 1) == 0);
	memcpy(&h, buf, sizeof h);
	CHECK(h.start == 0x7375624B && h.name == NULL);
	memcpy(data, buf + sizeof h + ((h.name_len + 4) & ~3u), h.data_len);
	data[h.data_len] = 0;
	return h;
}

static void wait_by(int fd, int how)
{
	if (how == 0) {
		fd_set r;
		struct timeval t = { 5, 0 };
		FD_ZERO(&r);
		FD_SET(fd, &r);
		CHECK(select(fd + 1, &r, NULL, NULL, &t) == 1);
	} else if (how == 1) {
		struct pollfd p = { fd, POLLIN, 0 };
		CHECK(poll(&p, 1, 5000) == 1 && (p.revents & POLLIN));
	} else {
		struct epoll_event e = { .events = EPOLLIN };
		int ep = epoll_create1(0);
		CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
		int n;
		do
			n = epoll_wait(ep, &e, 1, 5000);
		while (n < 0 && errno == EINTR); /* the process was stopped, and goes on */
		CHECK(n == 1);
		close(ep);
	}
}

int main(int argc, char **argv)
{
	int how, status, listener = open(argv[1], O_RDWR), sender = open(argv[1], O_RDWR | O_NONBLOCK);
	uint32_t id, other;
	static char data[500000], large[300001];

	CHECK(argc == 2 && listener >= 0 && sender >= 0);
	CHECK(ioctl(listener, KSOCKID, &id) == 0 && ioctl(sender, KSOCKID, &other) == 0 && id != other);
	bind_name(listener, 0, "$.C.News");
	for (how = 0; how < 3; how++) {
		pid_t child = fork(); /* the child sends a moment later, so that the parent has to wait */
		CHECK(child >= 0);
		if (child == 0) {
			usleep(20000);
			send_pointy(sender, 0, "$.C.News", "hello");
			_exit(0);
		}
		wait_by(listener, how);
		CHECK(receive(listener, data).from == other && strcmp(data, "hello") == 0);
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}

	/* More than the kernel copies at once for a CUSE device. */
	memset(large, 'x', sizeof large - 1);
	send_pointy(sender, 0, "$.C.News", large);
	CHECK(receive(listener, data).data_len == sizeof large - 1 && strcmp(data, large) == 0);

	/* A dup keeps the Ksock when the first descriptor is closed. */
	int replier = open(argv[1], O_RDWR), copy = dup(replier);
	bind_name(replier, 1, "$.C.Ask");
	close(replier);
	send_pointy(sender, 1, "$.C.Ask", "?");
	CHECK(receive(copy, data).flags == 3);
	/* With the last one the bus answers what is owed, before close() returns. */
	close(copy);
	struct header h = receive(sender, data);
	CHECK(h.in_reply_to[1] != 0 && (h.flags & 4));

	struct bind q = { 0, 7, "$.C.Ask" };
	CHECK(ioctl(listener, REPLIER, &q) == 0);

	/* Lies: a length beyond all bounds, a name that is nowhere. */
	struct bind nowhere = { 0, 10, (char *)16 };
	CHECK(ioctl(listener, BIND, &nowhere) == -1 && errno == EFAULT);
	struct bind endless = { 0, 0x7fffffff, "$.C" };
	CHECK(ioctl(listener, BIND, &endless) == -1 && errno == ENAMETOOLONG);
	struct header bad = { .start = 1, .end = 2 };
	CHECK(write(sender, &bad, sizeof bad) == -1 && errno == EINVAL);
	struct header lost = { .start = 0x7375624B, .name_len = 7, .data_len = 5, .name = "$.C.Ask", .data = (void *)16, .end = 0x4B627573 };
	CHECK(write(sender, &lost, sizeof lost) == sizeof lost);
	CHECK(ioctl(sender, SEND, data) == -1 && errno == EFAULT);
	CHECK(ioctl(sender, _IOR('k', 99, char *), data) == -1 && errno == ENOTTY);
	puts("ok");
	return 0;
}
