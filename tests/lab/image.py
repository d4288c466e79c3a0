"""What a lab guest boots: Debian's cloud kernel, and an initramfs with a static busybox and a few modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_METAPACKAGE = "linux-image-cloud-amd64"
_HERE = Path(__file__).parent
# For a virtio channel and a power button; `guest-agent` loads them.
_MODULES = (
    *("drivers/virtio/virtio.ko", "drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio_pci.ko"),
    *("drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci_modern_dev.ko"),
    *("drivers/char/virtio_console.ko", "drivers/acpi/button.ko", "drivers/input/evdev.ko"),
)


def kernel() -> Path:
    """The kernel image. Raises CalledProcessError when its package cannot be downloaded."""
    return _unpacked() / "vmlinuz"


def make_initramfs(target: Path) -> None:
    """Write the initramfs to `target`. Raises CalledProcessError as `kernel` does."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        shutil.copytree(_unpacked() / "modules", root / "modules")
        (root / "bin").mkdir()
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
        for source, name in (("guest-init", "init"), ("guest-agent", "bin/agent")):
            shutil.copy(_HERE / source, root / name)
            (root / name).chmod(0o755)
        archive = "find . | busybox cpio -o -H newc 2>/dev/null | gzip -1"
        with target.open("wb") as out:
            subprocess.run(["sh", "-c", archive], cwd=root, stdout=out, check=True, timeout=30)


def _unpacked() -> Path:
    """What is needed of Debian's package, from the cache. The package is not installed."""
    cached = sorted(_cache().glob("*/vmlinuz"))
    return cached[-1].parent if cached else _download_kernel(_cache())


def _download_kernel(folder: Path) -> Path:
    # Renamed into place when complete, so that runs side by side, or killed ones, leave no half kernel.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            package = _download_package(Path(scratch))
        except subprocess.CalledProcessError:
            # The lists may name a version that the mirror has replaced since.
            _apt("apt-get", "-q", "update")
            package = _download_package(Path(scratch))
        wanted = " ".join(f"'./lib/modules/*/kernel/{module}'" for module in _MODULES)
        unpack = f'dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards "./boot/vmlinuz-*" {wanted}'
        subprocess.run(["sh", "-c", unpack, package], cwd=scratch, check=True, timeout=60)
        [image] = Path(scratch).glob("boot/vmlinuz-*")
        complete = Path(scratch, image.name.removeprefix("vmlinuz-"))
        (complete / "modules").mkdir(parents=True)
        image.rename(complete / "vmlinuz")
        for module in Path(scratch).glob("lib/modules/**/*.ko"):
            module.rename(complete / "modules" / module.name)
        try:
            return complete.rename(folder / complete.name)
        except OSError:  # a run beside this one was faster
            if not (folder / complete.name / "vmlinuz").exists():
                raise
            return folder / complete.name


def _download_package(folder: Path) -> Path:
    depends = _apt("apt-cache", "depends", _METAPACKAGE)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if found is None:
        raise subprocess.CalledProcessError(1, "apt-cache depends", depends)
    _apt("apt-get", "-q", "download", found[1], cwd=folder)
    [package] = folder.glob("*.deb")
    return package


def _apt(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True, timeout=300).stdout


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "virshmanager", "lab")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
