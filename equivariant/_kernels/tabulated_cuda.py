"""Messages with radial weights from a table on a CUDA device; `tabulated_reference` is the readable twin."""

from .coupling_cuda import couple_from_table


def couple_tabulated(x, y, place, b, table, sender, receiver, start, layout, entries, values, out):
    """Overwrite ``out`` with the messages; ``layout`` is the table of ``paths.Paths``; raise InputError without a device."""
    return couple_from_table(x, y, place, b, table, sender, start, layout, entries, values, out)
