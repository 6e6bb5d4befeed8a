"""Address to range: overlapping ranges, and addresses of all 64 bits."""

from __future__ import annotations

import random

from llamactl.process.memory.address_ranges import AddressRanges
from llamactl.process.memory.maps import ProcessMaps

VSYSCALL = 0xFFFFFFFFFF600000


def test_every_address_is_found_as_looking_at_each_range_finds_it() -> None:
    chance = random.Random(3)
    ranges = [(low := chance.randrange(200), low + chance.randrange(30)) for _ in range(60)]
    found = AddressRanges(ranges)
    for address in range(240):
        expected = {index for index, (start, end) in enumerate(ranges) if start <= address < end}
        around = found.around(address)
        assert set(around) == expected
        assert [ranges[index][0] for index in around] == sorted(ranges[index][0] for index in around)
        assert found.find(address) == (around[-1] if around else None)


def test_an_address_above_half_of_all_is_found() -> None:
    ranges = AddressRanges([(0x400000, 0x401000), (VSYSCALL, VSYSCALL + 4096)])
    assert ranges.find(VSYSCALL) == 1
    assert ranges.find(2**64 - 1) is None
    assert AddressRanges([]).find(0) is None


def test_a_process_s_maps_hold_the_kernel_s_page_too() -> None:
    data = (
        b"00400000-00401000 r-xp 00000000 00:00 1 /bin/x\n"
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
    )
    maps = ProcessMaps(1, data)
    piece = maps.find(0x400FFF)
    assert piece is not None and piece.path == "/bin/x"
    assert maps.find(VSYSCALL) is None
