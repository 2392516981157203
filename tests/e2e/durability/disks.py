"""File systems of a test's own. Mounting takes root and loop devices; where they are missing, Skipped says what was."""

import errno
import fcntl
import os
import shutil
import struct
import subprocess

SKIPPED = 77  # the exit code that ctest calls skipped
GOING_DOWN = 0x8004587D  # _IOR('X', 125, __u32), of XFS and ext4 alike
LOG_FLUSH, NO_LOG_FLUSH = 1, 2  # whether the file system's own journal still gets what it has in memory


class Skipped(Exception):
    pass


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


class Disk:
    """A file system that can be filled and can lose its power, in a file or, as tmpfs, in memory."""

    def __init__(self, kind, folder):
        self.kind, self.path = kind, folder / kind
        self.image, self.filler = folder / f"{kind}.image", self.path / "filler"
        self.is_mounted = False
        self.path.mkdir()
        if kind != "tmpfs":
            self.make_image()
        self.mount()

    def make_image(self):
        kind = self.kind
        maker = shutil.which(f"mkfs.{kind}", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not maker:
            raise Skipped(f"there is no mkfs.{kind}")
        with open(self.image, "wb") as file:
            file.truncate(320 << 20)
        command(maker, "-q", self.image)

    def mount(self):
        if self.kind == "tmpfs":
            command("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", self.path)
        else:
            command("mount", "-o", "loop", self.image, self.path)
        self.is_mounted = True

    def unmount(self):
        if self.is_mounted:
            command("umount", self.path)
        self.is_mounted = False

    def fill(self):
        """Takes all space that is left, block by block where it has become scarce."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (16 << 20, 1 << 20, 64 << 10, 4 << 10):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self):
        self.filler.unlink(missing_ok=True)

    def cut(self, how):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, GOING_DOWN, struct.pack("I", how))
        except OSError as error:
            raise Skipped(f"{self.path.name} cannot be shut down: {error}")
        finally:
            os.close(fd)
