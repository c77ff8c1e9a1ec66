"""A real S3 server for tests: versitygw over a temporary folder, in a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.killed import end_process
from support.run import MAX_WAIT_S

ACCESS_KEY, SECRET_KEY, REGION = "dueby", "dueby-secret", "us-east-1"


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server with one bucket."""

    endpoint: str
    bucket: str
    env: Mapping[str, str]
    """The environment variables that a process needs to use it."""
    folder: Path
    """The folder in which the server keeps the bucket's objects as files."""
    process: subprocess.Popen[bytes]

    def uri(self, path: str = "") -> str:
        """Return the s3:// URI of the object, or of the bucket."""
        return f"s3://{self.bucket}/{path}"

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Make the server accept connections without answering."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def versitygw_server(tmp_path: Path, *, bucket: str = "photos", port: int | None = None) -> Iterator[S3Server]:
    """Run the server until the block ends. The same folder and port give the same server again."""
    folder, log = tmp_path / "s3", tmp_path / "versitygw.log"
    (folder / bucket).mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [program("versitygw"), "--port", f"127.0.0.1:{port}", "--region", REGION, "posix", str(folder)]
    environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_for_server(endpoint, process, log)
        yield S3Server(
            endpoint=endpoint,
            bucket=bucket,
            env={
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": REGION,
            },
            folder=folder / bucket,
            process=process,
        )
    finally:
        process.send_signal(signal.SIGCONT)
        end_process(process)


def program(name: str) -> str:
    """Return where a server's program is. Raise FileNotFoundError if it isn't on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not on the PATH; mark the test with what it needs, such as @pytest.mark.s3")
    return found


def wait_for_server(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(endpoint, timeout=1):
                return
        except urllib.error.HTTPError as refusal:
            # It refuses a request without a signature, so it is up.
            refusal.close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
