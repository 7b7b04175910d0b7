"""Known sets that no golden pack holds, against what their data sets state."""

from __future__ import annotations

import pytest

from edgepose.skeletons import KEYPOINT_SETS

# mmpose 1.3.2, configs/_base_/datasets/{ap10k,crowdpose,lapa}.py. Sigmas in thousandths; lapa.py has none.
NAMES = {
    "ap10k17": "L_Eye, R_Eye, Nose, Neck, Root of tail, L_Shoulder, L_Elbow, L_F_Paw, R_Shoulder, R_Elbow, "
    "R_F_Paw, L_Hip, L_Knee, L_B_Paw, R_Hip, R_Knee, R_B_Paw",
    "crowdpose14": "left_shoulder, right_shoulder, left_elbow, right_elbow, left_wrist, right_wrist, "
    "left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle, top_head, neck",
    "lapa106": ", ".join(f"kpt-{n}" for n in range(106)),
}
SWAPPED = {
    "ap10k17": "0-1 5-8 6-9 7-10 11-14 12-15 13-16",
    "crowdpose14": "0-1 2-3 4-5 6-7 8-9 10-11",
    "lapa106": "0-32 1-31 2-30 3-29 4-28 5-27 6-26 7-25 8-24 9-23 10-22 11-21 12-20 13-19 14-18 15-17 "
    "33-46 34-45 35-44 36-43 37-42 38-50 39-49 40-48 41-47 55-65 56-64 57-63 58-62 59-61 "
    "66-79 67-78 68-77 69-76 70-75 71-82 72-81 73-80 74-83 84-90 85-89 86-88 91-95 92-94 96-100 97-99 "
    "101-103 104-105",
}
SIGMAS = {
    "ap10k17": [25, 25, 26, 35, 35, 79, 72, 62, 79, 72, 62, 107, 87, 89, 107, 87, 89],
    "crowdpose14": [79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89, 79, 79],
}


@pytest.mark.parametrize("name", NAMES)
def test_points_have_the_order_and_the_pairs_of_their_data_set(name: str) -> None:
    points = KEYPOINT_SETS[name]
    assert ", ".join(points.keypoints) == NAMES[name]
    assert " ".join(f"{a}-{b}" for a, b in sorted(points.flip_pairs)) == SWAPPED[name]


@pytest.mark.parametrize("name", SIGMAS)
def test_sigmas_are_those_of_the_data_set(name: str) -> None:
    assert [sigma * 1000 for sigma in KEYPOINT_SETS[name].sigmas] == pytest.approx(SIGMAS[name])
