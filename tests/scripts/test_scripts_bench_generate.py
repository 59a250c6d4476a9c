"""The benchmark of generation: what it measures and writes, not how fast anything is."""

import cv2

from scripts import bench_generate


def test_rows(tmp_path, monkeypatch, sample, local_ray):
    (tmp_path / "photographs").mkdir()
    for name in ("chelsea", "china", "coffee"):
        cv2.imwrite(str(tmp_path / "photographs" / f"{name}.png"), sample[name])
    monkeypatch.setattr(bench_generate, "LARGE", (600, 450))
    rows = bench_generate.measure(tmp_path, 1, (192, 256), ("gmsd",))
    assert [row["workers"] for row in rows] == [1, 2, 1, 1]
    assert [row["images"] for row in rows] == [15, 15, 15, 5]
    for row in rows:
        assert row["images_per_second_and_core"] > 0 and 100 < row["worker_peak_mb"] < 1500
        assert abs(sum(row[f"{step}_percent"] for step in bench_generate.STEPS) - 100) < 1
    assert rows[0]["speed_over_one_worker"] == 1 and rows[1]["speed_over_one_worker"] > 0
    assert rows[0]["mb_per_image"] == rows[1]["mb_per_image"] > 2 * rows[2]["mb_per_image"]
