"""Rosters and tables of times, as spreadsheets and learning platforms save them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from facegen.errors import InputError
from facegen.grading.found import Found
from facegen.grading.roster import Roster, Student, read_roster
from facegen.grading.submitted_at import with_times

Save = Callable[..., Path]
SEOUL = ZoneInfo("Asia/Seoul")
AT = datetime(2026, 11, 20, 23, 59, tzinfo=SEOUL)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def make(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return make


def students(roster: Roster) -> list[tuple[str, str | None]]:
    return [(each.number, each.name) for each in roster.students.values()]


class TestRoster:
    @pytest.mark.parametrize(
        "text",
        [
            "student_number,name\ns1,Ada\ns2,Bob\n",
            "Name;Student Number;Section\r\nAda;s1;A\r\nBob;s2;A\r\n",
            "name\tID number\nAda\ts1\nBob\ts2\n",
            "학번,이름\ns1,Ada\ns2,Bob\n",
            "Student,ID,SIS User ID\nAda,77,s1\nBob,78,s2\n",
            "s1,Ada\ns2,Bob\n",
            '"s1","Ada"\n\n ,\n"s2","Bob"\n',
            "sep=;\nstudent_id;first_name;last_name\ns1;;Ada\ns2;Bob;\n",
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_the_columns_are_found(self, save: Save, text: str, encoding: str) -> None:
        assert students(read_roster(save(text, encoding))) == [("s1", "Ada"), ("s2", "Bob")]

    def test_a_line_break_and_the_mark_within_quotes_are_of_the_cell(self, save: Save) -> None:
        roster = read_roster(save('number,name\ns1,"Love\nlace, Ada"\ns2,Bob\n'))
        assert students(roster) == [("s1", "Love lace, Ada"), ("s2", "Bob")]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("\n , \n", "is empty"),
            ("student_number,name\n", "has no students"),
            ("Name,Group\nAda,1\n", "no column of student numbers among 'Name', 'Group'"),
            ("Kennung\ns1\ns2\n", "no column of student numbers among 'Kennung'"),
            ("id,id\n1,2\n", "two columns called 'id'"),
            ("number\n2.02E+07\n", "the student number '2.02E\\+07' in line 2"),
            ("number\ns1\n\n20230001.0\n", "the student number '20230001.0' in line 4"),
            ("number,name\ns1,Ada\nS1,Bob\n", "'S1' in lines 2 and 3 with different names"),
            ('number\n"s1\n', "is not a CSV: .* from line 2"),
        ],
    )
    def test_what_is_no_roster_says_why(self, save: Save, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_roster(save(text))

    @pytest.mark.parametrize(
        ("data", "message"),
        [(b"PK\x03\x04" + bytes(60), "is a zip archive, not a table"), (b"s1,\xb1\xe8\n", "is not text in UTF-8")],
    )
    def test_a_workbook_or_another_encoding_is_told(self, tmp_path: Path, data: bytes, message: str) -> None:
        (tmp_path / "roster.xlsx").write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_roster(tmp_path / "roster.xlsx")

    def test_one_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"The roster .*none\.csv cannot be read"):
            read_roster(tmp_path / "none.csv")

    def test_repeated_and_nameless_lines_are_warned_of(self, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
        roster = read_roster(save("name,number\nPoints possible,\nAda,s1\nAda,S1\n"))
        assert students(roster) == [("s1", "Ada")]
        said = capsys.readouterr().err
        assert "skipped: 'line 2'." in said and "counts once: 'S1'." in said

    def test_upper_and_lower_case_count_as_one(self) -> None:
        roster = Roster({"a1": Student("A1", None), "b1": Student("b1", None)})
        assert roster.find("a1") == Student("A1", None) and roster.find(None) is None
        assert roster.missing(["a1", None, "B1"]) == []


class TestStranger:
    @pytest.mark.parametrize(
        ("number", "known", "how"),
        [
            ("20230013", "20230012", "differs in one character"),
            ("20230021", "20230012", "has two neighbouring characters swapped"),
            ("123", "00123", "differs only in zeros at the beginning, which spreadsheets remove"),
            ("00123", "123", "differs only in zeros at the beginning, which spreadsheets remove"),
            ("2023001", "20230012", "has one character more"),
            ("202300122", "20230012", "has one character less"),
        ],
    )
    def test_the_one_that_is_nearly_it_is_named(self, number: str, known: str, how: str) -> None:
        sentence = Roster({}).stranger(number, [Student("77777777", None), Student(known, "Ada")])
        assert sentence == (
            f"The number {number!r} is not on the roster. "
            f"The number {known!r} (Ada) is on the roster without a submission, and {how}."
        )

    @pytest.mark.parametrize("known", [["20230012", "20230014"], ["20231300"], ["20239913"], []])
    def test_none_or_several_are_not(self, known: list[str]) -> None:
        sentence = Roster({}).stranger("20230013", [Student(number, None) for number in known])
        assert sentence == "The number '20230013' is not on the roster."


def found(*files: str) -> list[Found]:
    return [Found(Path(file), file) for file in files]


class TestTimes:
    @pytest.mark.parametrize(
        "text",
        [
            "file,submitted_at\ns1.tar.gz,2026-11-20 23:59\n",
            "Submitted;File name\n2026-11-20T23:59+09:00;S1.tar.gz\n",
            "student_number\ttime\nS1\t1795186740\n",
            "number,file,timestamp\ns2,s1.tar.gz,2026-11-20 23:59\n",
            "number,file,timestamp\ns1,,2026-11-20 23:59\ns1,,2026-11-20T14:59Z\ns2,,-\ns2,,\n",
            "file,date\nuploads/s1.tar.gz,2026-11-20 23:59\n",
        ],
    )
    def test_a_line_is_of_a_file_or_of_a_student(self, save: Save, text: str) -> None:
        times = [each.submitted_at for each in with_times(found("s1.tar.gz", "s2.tar.gz"), save(text), SEOUL)]
        assert times == [AT, None]

    def test_of_files_that_differ_by_case_it_is_the_one_that_is_meant(self, save: Save) -> None:
        table = save("file,number,time\nS1.tar.gz,,2026-11-20 23:59\n,s1,2026-11-20 23:00\n")
        hours = [each.submitted_at.minute for each in with_times(found("s1.tar.gz", "S1.tar.gz"), table, SEOUL)]  # type: ignore[union-attr]
        assert hours == [0, 59]

    def test_the_table_wins_over_what_the_platform_said(self, save: Save) -> None:
        before = datetime(2026, 1, 1, tzinfo=timezone.utc)
        known = [Found(Path("a"), file, submitted_at=before) for file in ("s1.tar.gz", "s2.tar.gz")]
        dated = with_times(known, save("file,time\ns1.tar.gz,2026-11-20 23:59\n"), SEOUL)
        assert [each.submitted_at for each in dated] == [AT, before]

    def test_times_of_what_is_not_there_are_warned_of(self, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
        with_times(found("s1.tar.gz"), save("file,time\ns9.tar.gz,2026-11-20 23:59\n"), SEOUL)
        assert "has times for files or students without a submission: 's9.tar.gz'." in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,when\ns1.tar.gz,2026-11-20 23:59\n", "no column of times among 'file', 'when'"),
            ("who,time\ns1,2026-11-20 23:59\n", "no column of files or student numbers among 'who', 'time'"),
            ("file,time\n\ns1.tar.gz,03/04/2026 10:00\n", "Line 3 of .* '03/04/2026 10:00', which does not say"),
            ("file,time\n,2026-11-20 23:59\n", "Line 2 of .* has a time but neither a file nor a student number"),
            ("number,time\n1E+5,2026-11-20 23:59\n", "the student number '1E\\+5' in line 2"),
            (
                "file,time\ns1.tar.gz,2026-11-20 23:59\ns1.tar.gz,2026-11-20 23:58\n",
                "two times for 's1.tar.gz', in lines 2 and 3",
            ),
        ],
    )
    def test_what_tells_no_time_says_why(self, save: Save, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            with_times(found("s1.tar.gz"), save(text), SEOUL)

    def test_a_number_with_several_files_needs_their_names(self, save: Save) -> None:
        several = [Found(Path(file), file, student_number="s1") for file in ("a.tar.gz", "b.tar.gz")]
        with pytest.raises(InputError, match=r"'s1', who has several submissions: 'a.tar.gz', 'b.tar.gz'"):
            with_times(several, save("number,time\ns1,2026-11-20 23:59\n"), SEOUL)

    def test_a_time_without_an_offset_needs_a_zone(self, save: Save) -> None:
        with pytest.raises(InputError, match=r"no offset from UTC.* timezone = 'Asia/Seoul'"):
            with_times(found("s1.tar.gz"), save("file,time\ns1.tar.gz,2026-11-20 23:59\n"), None)
        naive = [Found(Path("a"), "s1.tar.gz", submitted_at=AT.replace(tzinfo=None))]
        assert with_times(naive, None, SEOUL)[0].submitted_at == AT
        with pytest.raises(InputError, match=r"The time of 's1.tar.gz', .* has no offset"):
            with_times(naive, None, None)

    def test_times_are_told_in_the_rubrics_zone(self, save: Save) -> None:
        (dated,) = with_times(found("s1.tar.gz"), save("file,time\ns1.tar.gz,1795186740\n"), SEOUL)
        assert dated.submitted_at is not None and dated.submitted_at.isoformat() == "2026-11-20T23:59:00+09:00"
