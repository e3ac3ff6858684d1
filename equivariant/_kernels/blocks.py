"""The blocks of `vectors` chosen by the sizes of what goes in and comes out, and what all products share.

numba calls a function by its name, so the choice is written out.
"""

from typing import Any

from numba import njit

from . import vectors as v

OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


@njit(**OPTIONS)
def mix(y, e, entries, values, mixing):
    """Overwrite ``mixing`` with the matrices M of edge e."""
    mixing[:] = 0.0
    for q in range(len(values)):
        mixing[entries[q, 0]] += values[q] * y[e, entries[q, 1]]


@njit(**OPTIONS)
def sizes(table):
    """Return the number of mixing entries and the rows of all blocks."""
    size, rows = 0, 0
    for p in range(len(table)):
        size = max(size, table[p, 7] + table[p, 1] * table[p, 2])
        rows = max(rows, table[p, 3] + table[p, 4])
    return size, rows


@njit(**OPTIONS)
def clear(outs, table, n, i):
    """Set all messages of receiver i to zero."""
    for p in range(len(table)):
        row = table[p, 3] * n + i * table[p, 4] + table[p, 6]
        for k in range(table[p, 2]):
            outs[row + k * table[p, 5], :] = 0.0


# fmt: off
@njit(**OPTIONS)
def add_rows(size_in, size_out, out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels):
    """out[o + k jump_out] += w[row_w] sum_a M_ka x[r + a jump_in]."""
    if size_in == 1:
        if size_out == 1:
            v.add_11(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.add_13(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.add_15(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        else:
            v.add_17(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
    elif size_in == 3:
        if size_out == 1:
            v.add_31(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.add_33(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.add_35(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        else:
            v.add_37(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
    elif size_in == 5:
        if size_out == 1:
            v.add_51(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.add_53(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.add_55(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        else:
            v.add_57(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
    else:
        if size_out == 1:
            v.add_71(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.add_73(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.add_75(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)
        else:
            v.add_77(out, o, jump_out, w, row_w, x, r, jump_in, mixing, m, step_in, step_out, channels)


@njit(**OPTIONS)
def weigh_rows(size_in, size_out, out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels):
    """out[o] = sum_k g[q + k jump_g] sum_a M_ka x[r + a]."""
    if size_in == 1:
        if size_out == 1:
            v.weigh_11(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.weigh_13(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.weigh_15(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        else:
            v.weigh_17(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
    elif size_in == 3:
        if size_out == 1:
            v.weigh_31(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.weigh_33(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.weigh_35(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        else:
            v.weigh_37(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
    elif size_in == 5:
        if size_out == 1:
            v.weigh_51(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.weigh_53(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.weigh_55(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        else:
            v.weigh_57(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
    else:
        if size_out == 1:
            v.weigh_71(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 3:
            v.weigh_73(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        elif size_out == 5:
            v.weigh_75(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)
        else:
            v.weigh_77(out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels)


@njit(**OPTIONS)
def meet_rows(size_in, size_out, met, m, x, r, w, row_w, g, q, jump_g, channels):
    """met[m + k A + a] = sum_c x[r + a] w[row_w] g[q + k jump_g], A rows in."""
    if size_in == 1:
        if size_out == 1:
            v.meet_11(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 3:
            v.meet_13(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 5:
            v.meet_15(met, m, x, r, w, row_w, g, q, jump_g, channels)
        else:
            v.meet_17(met, m, x, r, w, row_w, g, q, jump_g, channels)
    elif size_in == 3:
        if size_out == 1:
            v.meet_31(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 3:
            v.meet_33(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 5:
            v.meet_35(met, m, x, r, w, row_w, g, q, jump_g, channels)
        else:
            v.meet_37(met, m, x, r, w, row_w, g, q, jump_g, channels)
    elif size_in == 5:
        if size_out == 1:
            v.meet_51(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 3:
            v.meet_53(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 5:
            v.meet_55(met, m, x, r, w, row_w, g, q, jump_g, channels)
        else:
            v.meet_57(met, m, x, r, w, row_w, g, q, jump_g, channels)
    else:
        if size_out == 1:
            v.meet_71(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 3:
            v.meet_73(met, m, x, r, w, row_w, g, q, jump_g, channels)
        elif size_out == 5:
            v.meet_75(met, m, x, r, w, row_w, g, q, jump_g, channels)
        else:
            v.meet_77(met, m, x, r, w, row_w, g, q, jump_g, channels)
# fmt: on
