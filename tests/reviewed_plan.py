"""What the tests of the review share: a mask without symmetry on any grid, and a client that holds the cookie."""

import http.client
import threading
from contextlib import contextmanager

import numpy as np

from sirtjax.review import ReviewMask, ReviewServer
from sirtjax.spatial import rigid_matrix
from sirtjax.volume import Geometry, LabelMap

DOSE_GY = 80.0
SHAPE, SPACING_MM, ORIGIN_MM = (30, 26, 22), (2.0, 3.0, 4.0), (-12.0, 31.0, -208.0)
AXES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
TURNED = rigid_matrix((0.21, -0.17, 0.3), (0, 0, 0), (0, 0, 0))[:3, :3]


def grid(codes, turned):
    direction = np.array([AXES[letter] for letter in codes], float).T
    direction = TURNED @ direction if turned else direction
    return Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, origin_mm=ORIGIN_MM, direction=direction)


def mask_on(geometry):
    """A shape with no symmetry, away from the rim and near one corner, so that the scene is a part of the grid."""
    array = np.zeros(geometry.shape, np.uint8)
    array[3:9, 2:6, 4:7] = 1
    array[9:12, 2:3, 4:5] = 1
    return ReviewMask(
        key="liver",
        name="liver",
        role="liver",
        frame="activity",
        labels=LabelMap(array, geometry, names=((1, "liver"),)),
        origin="a file",
    )


class Client:
    """Requests as a browser that holds the cookie would make them, each header replaceable."""

    def __init__(self, server):
        self.server = server

    def ask(self, method, path, body=None, **headers):
        given = {"Host": f"127.0.0.1:{self.server.port}", "Cookie": f"{self.server.cookie}={self.server.key}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None and "Content-Length" not in given and "Transfer-Encoding" not in given:
                given["Content-Length"] = str(len(body))
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


@contextmanager
def served(session):
    server = ReviewServer(session)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
