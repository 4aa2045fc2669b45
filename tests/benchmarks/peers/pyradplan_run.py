"""pyRadPlan on one benchmark case, in its own environment; imports nothing of this project.

    python pyradplan_run.py CASE.npz FOLDER

Reads what `tests.benchmarks.cases.write` wrote. Leaves in FOLDER everything a comparison needs: beamlet positions,
weights, objective histories and times in ``result.npz``, and the dose matrix in three plain arrays (CSC), so that the
objective of any fluence can be evaluated with pyRadPlan's own matrix. Its machine file goes beside FOLDER.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np
import SimpleITK
from pyRadPlan import calc_dose_influence, fluence_optimization, generate_stf
from pyRadPlan.cst import create_cst, create_voi
from pyRadPlan.ct import create_ct
from pyRadPlan.optimization.objectives import SquaredDeviation, SquaredOverdosing, SquaredUnderdosing
from pyRadPlan.plan import create_pln

FORMS = {
    "uniform": lambda dose, priority: SquaredDeviation(d_ref=dose, priority=priority),
    "max": lambda dose, priority: SquaredOverdosing(d_max=dose, priority=priority),
    "min": lambda dose, priority: SquaredUnderdosing(d_min=dose, priority=priority),
}


def main() -> None:
    baseline_mib = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    case, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(str(case["request"]))
    folder.mkdir(parents=True, exist_ok=True)
    ct, cst = patient(case, request, request["objectives"])
    pln = plan(request)
    start = perf_counter()
    stf = generate_stf(ct, cst, pln)
    placed = perf_counter()
    say(f"{sum(len(beam.rays) for beam in stf.beams)} bixels in {placed - start:.1f} s; computing the dose matrix")
    dij = calc_dose_influence(ct, cst, stf, pln)
    filled = perf_counter()
    matrix_mib = memory_mib("VmHWM") - baseline_mib
    say(f"dose matrix: {dij.physical_dose.flat[0].nnz / 1e6:.0f} M nonzeros in {filled - placed:.1f} s; optimising")
    arrays = {"stf_s": placed - start, "dij_s": filled - placed, "matrix_mib": matrix_mib}
    for name in ("objectives", "changed_objectives"):
        if name in request:
            arrays |= optimised(name, ct, patient(case, request, request[name])[1], stf, dij, pln)
    arrays["peak_mib"] = memory_mib("VmHWM") - baseline_mib
    start = perf_counter()
    dij.compute_result_ct_grid(arrays["objectives_weights"])
    arrays["dose_s"] = perf_counter() - start
    arrays["peak_with_dose_mib"] = memory_mib("VmHWM") - baseline_mib
    save(folder, ct, cst, stf, dij, arrays)


def patient(case, request, objectives):
    """CT and structure set, built from images as the package wants them."""
    ct = create_ct(cube_hu=image(case["hu"].astype(np.float32), request))
    vois = []
    for number, structure in enumerate(request["structures"]):
        mask = np.unpackbits(case[f"mask_{number}"], count=case["hu"].size).reshape(case["hu"].shape)
        own = [FORMS[o["form"]](o["dose_gy"], o["priority"]) for o in objectives if o["structure"] == structure["name"]]
        vois.append(
            create_voi(
                voi_type=structure["type"],
                name=structure["name"],
                ct_image=ct,
                mask=image(mask, request),
                overlap_priority=structure["overlap_priority"],
                objectives=own,
            )
        )
    return ct, create_cst(vois=vois, ct=ct)


def image(array, request):
    made = SimpleITK.GetImageFromArray(array)
    made.SetOrigin(request["origin_mm"])
    made.SetSpacing(request["spacing_mm"])
    return made


def plan(request):
    x, y, z = request["dose_spacing_mm"]
    return create_pln(
        {
            "radiation_mode": "photons",
            "machine": "Generic",
            "num_of_fractions": 1,
            "prescribed_dose": request["prescribed_gy"],
            "prop_stf": {
                "gantry_angles": request["gantry_deg"],
                "couch_angles": [0.0] * len(request["gantry_deg"]),
                "bixel_width": request["bixel_mm"],
                "iso_center": request["isocentre_mm"],
            },
            "prop_dose_calc": {"dose_grid": {"resolution": {"x": x, "y": y, "z": z}}},
            "prop_opt": {"solver": "scipy", "max_iter": request["max_iterations"]},
        }
    )


def optimised(name, ct, cst, stf, dij, pln):
    info = {}
    start = perf_counter()
    weights = fluence_optimization(ct, cst, stf, dij, pln, opt_info=info)
    seconds = perf_counter() - start
    history = np.array(info["obj_history"])
    say(f"{name}: {info['num_iter']} iterations in {seconds:.1f} s, objective {history.min():.3f}")
    return {
        f"{name}_weights": weights,
        f"{name}_s": seconds,
        f"{name}_iterations": info["num_iter"],
        f"{name}_history": history,
    }


def save(folder, ct, cst, stf, dij, arrays):
    # The voxels as the optimiser sees them: overlaps resolved, then the structures brought to the dose grid.
    judged = cst.apply_overlap_priorities().resample_on_new_ct(ct.resample_to_grid(dij.dose_grid)).vois
    matrix = dij.physical_dose.flat[0]
    np.save(folder / "data.npy", matrix.data)
    np.save(folder / "indices.npy", matrix.indices.astype(np.int32))
    np.save(folder / "indptr.npy", matrix.indptr.astype(np.int32))
    machine = files("pyRadPlan") / "data" / "machines" / "photons_Generic.mat"
    (folder.parent / machine.name).write_bytes(machine.read_bytes())
    grid = dij.dose_grid
    np.savez(
        folder / "result.npz",
        nonzeros=matrix.nnz,
        bixel_beam=np.repeat(np.arange(len(stf.beams)), [len(beam.rays) for beam in stf.beams]),
        bixel_mm=np.array([[ray.ray_pos_bev[0], ray.ray_pos_bev[2]] for beam in stf.beams for ray in beam.rays]),
        grid_origin_mm=grid.origin,
        grid_spacing_mm=grid.resolution_vector,
        grid_shape=np.array(grid.dimensions[::-1]),
        versions=json.dumps({name: version(name) for name in ("pyRadPlan", "numpy", "scipy", "numba", "pydantic")}),
        **{f"rows_{voi.name}": voi.indices_numpy for voi in judged},
        **arrays,
    )


def memory_mib(field):
    """VmRSS now, or VmHWM, the highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def say(text):
    print(f"pyRadPlan: {text}", flush=True)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main()
