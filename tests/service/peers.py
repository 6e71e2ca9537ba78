"""Real peers for the tests: dcmtk's programs, Orthanc, and the certificates they show."""

import json
import os
import subprocess
import time
import urllib.request

import bench
import pydicom

# dcmtk's own, not pynetdicom's scripts of the same names.
STORESCU, STORESCP, ECHOSCU = "/usr/bin/storescu", "/usr/bin/storescp", "/usr/bin/echoscu"
ORTHANC, DCMQRSCP = "/usr/sbin/Orthanc", "/usr/bin/dcmqrscp"
QUICK = os.environ | {"TCP_NODELAY": "1"}


def run(*command, timeout_s=60):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=QUICK)


def wait_for_port(port, process):
    def there():
        assert process.poll() is None, "the peer ended"
        try:
            bench.socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    bench.wait_for(there, what=f"port {port}")


class Program:
    """A peer's server, ended with the test."""

    def __init__(self, folder, port, *command):
        self._log = (folder / f"{os.path.basename(command[0])}.log").open("wb")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=QUICK)
        self.port = port

    def __enter__(self):
        try:
            wait_for_port(self.port, self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self._log.close()


def files_in(folder, count):
    def there():
        found = [path for path in sorted(folder.iterdir()) if path.stat().st_size > 0]
        return found if len(found) >= count else None

    found = bench.wait_for(there, what=f"{count} files")
    time.sleep(0.3)  # the last one is being written
    return [pydicom.dcmread(path) for path in found]


def certificate(folder, name, authority=None, *, days="2", hosts=""):
    """A key and a certificate, signed by an authority or by itself; `days` below 0 make one that has expired."""
    key, request, signed = (folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
    subject = f"/CN={name}"
    if authority is None:
        made = run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(signed)),
            *("-days", "2", "-subj", subject),
        )
    else:
        made = run(
            *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request)),
            *("-subj", subject),
        )
        assert made.returncode == 0, made.stderr
        names, extra = folder / f"{name}.ext", ()
        if hosts:
            names.write_text(f"subjectAltName = {hosts}")
            extra = ("-extfile", str(names))
        made = run(
            *("openssl", "x509", "-req", "-in", str(request), "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"),
            *("-CAcreateserial", "-out", str(signed), "-days", days, *extra),
        )
    assert made.returncode == 0, made.stderr
    return str(folder / name)


class Orthanc(Program):
    """Orthanc as the PACS; nobody but this machine can use its REST interface."""

    def __init__(self, folder, port, modalities, **more):
        self.http = bench.free_port()
        settings = {
            "StorageDirectory": str(folder / "orthanc"),
            "IndexDirectory": str(folder / "orthanc"),
            "Plugins": [],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "HttpPort": self.http,
            "DicomPort": port,
            "DicomAet": "PACS",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": modalities,
            **more,
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        super().__init__(folder, port, ORTHANC, str(path))

    def ask(self, path, body=None):
        data = body.encode() if isinstance(body, str) else body
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data=data, timeout=60) as answer:
            return json.loads(answer.read())

    def upload(self, path):
        with open(path, "rb") as file:
            return self.ask("/instances", file.read())
