"""What a lab guest boots: Debian's cloud kernel, and an initramfs with nothing but a static busybox."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_METAPACKAGE = "linux-image-cloud-amd64"
_HERE = Path(__file__).parent


def kernel() -> Path:
    """The kernel image, from the cache or from Debian's package, which is unpacked and not installed.

    Raises CalledProcessError when the package cannot be downloaded.
    """
    folder = _cache()
    cached = sorted(folder.glob("vmlinuz-*"))
    return cached[-1] if cached else _download_kernel(folder)


def make_initramfs(target: Path) -> None:
    """Write the initramfs to `target`."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "bin").mkdir()
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
        shutil.copy(_HERE / "guest-init", root / "init")
        (root / "init").chmod(0o755)
        archive = "find . | busybox cpio -o -H newc 2>/dev/null | gzip -1"
        with target.open("wb") as out:
            subprocess.run(["sh", "-c", archive], cwd=root, stdout=out, check=True, timeout=30)


def _download_kernel(folder: Path) -> Path:
    # Renamed into place when complete, so that runs side by side, or killed ones, leave no half kernel.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            package = _download_package(Path(scratch))
        except subprocess.CalledProcessError:
            # The lists may name a version that the mirror has replaced since.
            _apt("apt-get", "-q", "update")
            package = _download_package(Path(scratch))
        unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards "./boot/vmlinuz-*"'
        subprocess.run(["sh", "-c", unpack, package], cwd=scratch, check=True, timeout=60)
        [image] = (Path(scratch) / "boot").iterdir()
        return image.rename(folder / image.name)


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
