"""The load of the liver paper: 18 series sent at once come back as 18 structure sets, each about its own series."""

import threading
import time

import bench
import numpy as np
import pydicom
import pytest

from sirtjax.service import send_files


def run_load(folder, *, series, slices, size):
    """Send series at the same time, each in an association of its own; how long each took until its result was back."""
    files = [bench.write_series(folder / f"ct{n}", seed=f"load {n}", slices=slices, size=size) for n in range(series)]
    began, sent_s, problems = {}, {}, []

    def send(number):
        uid = str(pydicom.dcmread(files[number][0], stop_before_pixels=True).SeriesInstanceUID)
        start = time.time()
        outcomes = send_files(files[number], service.node())
        problems.extend(sent.problem for sent in outcomes if not sent.arrived)
        began[uid], sent_s[uid] = start, time.time() - start

    with bench.Pacs() as pacs, bench.Service(folder, pacs.port) as service:
        # The worker has been there for a while when series come.
        send(0)
        bench.wait_for(lambda: pacs.objects, what="the first result", timeout_s=60)
        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, series)]
        first = time.time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bench.wait_for(lambda: len(pacs.objects) >= series, what="all results", timeout_s=120)
        time.sleep(1)
        memory_mb = service.memory_mb()
        states = [state for state, _ in service.states()]
    took_s, right = {}, 0
    for dataset, arrived in zip(pacs.datasets, pacs.times, strict=True):
        frame = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        uid = str(frame.RTReferencedSeriesSequence[0].SeriesInstanceUID)
        took_s[uid] = arrived - began[uid]
        right += len(frame.RTReferencedSeriesSequence[0].ContourImageSequence) == slices
    times = np.array(list(took_s.values()))
    return {
        "series": series,
        "images_each": slices,
        "matrix": size,
        "structure_sets": len(pacs.objects),
        "about_a_series_of_their_own": len(took_s),
        "that_refer_to_all_images": right,
        "not_sent": len(problems),
        "p50_s": round(float(np.percentile(times, 50)), 3),
        "p95_s": round(float(np.percentile(times, 95)), 3),
        "all_s": round(max(pacs.times) - first, 3),
        "sending_p50_s": round(float(np.percentile(list(sent_s.values()), 50)), 3),
        "complete_delay_s": 0.3,
        "memory_mb": round(memory_mb, 1),
        "done": states.count("done"),
    }


@pytest.mark.slow
def test_eighteen_series_at_once(tmp_path):
    found = run_load(tmp_path, series=18, slices=5, size=16)
    assert found["structure_sets"] == found["about_a_series_of_their_own"] == found["that_refer_to_all_images"] == 18
    assert found["done"] == 18 and found["not_sent"] == 0
