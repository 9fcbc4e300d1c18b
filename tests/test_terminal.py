"""Long work says where it stands: each minute in a file, with the time left, of what is yet to be done."""

from types import SimpleNamespace

from verify import terminal


def test_a_line_a_minute_says_how_much_is_left(capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(terminal, "monotonic", lambda: clock.now)
    with terminal.progress(12, "starting") as advance:
        for _ in range(4):
            advance("kept", True)
        for step in range(8):
            clock.now += 40.0
            advance(f"step {step}")
    assert capsys.readouterr().err.splitlines() == [
        "2 of 8 done, 0:04:00 left: step 1",
        "4 of 8 done, 0:02:40 left: step 3",
        "6 of 8 done, 0:01:20 left: step 5",
    ]


def test_nothing_is_said_of_what_takes_no_time(capsys):
    with terminal.progress(3, "starting") as advance:
        for _ in range(3):
            advance("done")
    assert capsys.readouterr().err == ""
