/* A hostile program: it binds a name that lies on a page which never comes, held
 * back by userfaultfd, until it is killed. It prints "holding" before. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bind { uint32_t is_replier, name_len; char *name; };

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR), u = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = { .range = { (uintptr_t)page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	if (argc != 2 || fd < 0 || u < 0 || ioctl(u, UFFDIO_API, &api) || ioctl(u, UFFDIO_REGISTER, &reg)) {
		puts("no userfaultfd");
		return 1;
	}
	puts("holding");
	fflush(stdout);
	struct bind b = { 0, 10, page };
	ioctl(fd, _IOW('k', 2, char *), &b);
	return 0;
}
