"""Messages in English and Korean: who chooses, what is translated, and that stored results are in no language."""

from __future__ import annotations

import gettext
import importlib.util
import io
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen import language
from facegen.language import Message, from_environment, in_sequence, restored, stored, translate, translate_count
from facegen.printable import plainer
from facegen.stages import grade as grade_stage
from facegen.submission.reader import read_submission
from facegen.submission.rules import Code, Limits, Rejection
from facegen.submission.writer import write_tarball

pytest.importorskip("babel")
CommandLine = Callable[..., Result]
ROOT = Path(__file__).parents[1]
HANGUL = re.compile("[가-힣]")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestChoice:
    @pytest.mark.parametrize(
        ("variables", "chosen"),
        [
            ({}, "en"),
            ({"LANG": "ko_KR.UTF-8"}, "ko"),
            ({"LANG": "ko"}, "ko"),
            ({"LANG": "fr_FR.UTF-8"}, "en"),
            ({"LANG": "kok_IN"}, "en"),
            ({"LANG": "ko_KR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
            ({"LC_MESSAGES": "ko_KR.eucKR@x", "LC_ALL": ""}, "ko"),
            ({"LC_MESSAGES": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
            ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:ko:en"}, "ko"),
            ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en:ko"}, "en"),
            ({"LANG": "C", "LANGUAGE": "ko"}, "en"),
            ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "en"),
            ({"LC_ALL": "C", "FACEGEN_LANG": "ko"}, "ko"),
            ({"LANG": "ko_KR.UTF-8", "FACEGEN_LANG": "en"}, "en"),
        ],
    )
    def test_the_environment_chooses(self, variables: dict[str, str], chosen: str) -> None:
        assert from_environment(variables) == chosen

    def test_the_option_comes_before_the_environment(
        self, facegen: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable in language.VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("LANG", "ko_KR.UTF-8")
        assert facegen("pack", tmp_path / "absent", "s1").stderr.startswith(f"오류: {tmp_path / 'absent'}: 존재하지")
        assert facegen("--lang", "en", "pack", tmp_path / "absent", "s1").stderr.startswith("error: ")
        monkeypatch.setenv("LANG", "fr_FR.UTF-8")
        assert facegen("pack", tmp_path / "absent", "s1").stderr.startswith("error: ")

    def test_another_language_is_wrong_usage(self, facegen: CommandLine) -> None:
        outcome = facegen("--lang", "fr", "pack", "images", "s1")
        assert outcome.exit_code == 2 and "'fr' is not one of 'en', 'ko'" in outcome.stderr

    def test_what_is_not_translated_stays_english(self, facegen: CommandLine, tmp_path: Path) -> None:
        said = facegen("--lang", "ko", "inspect", tmp_path / "absent").stderr
        assert said.startswith("error: ") and not HANGUL.search(said)


class TestCatalogue:
    def test_every_message_has_a_translation(self, script: ModuleType) -> None:
        for chosen in set(language.LANGUAGES) - {language.ENGLISH}:
            known = {message.id: message for message in script.read(chosen)}
            wanted = {message.id for message in script.collected() if message.id}
            assert wanted == known.keys() - {""}, "run scripts/translations.py"
            assert script.missing(known.values()) == []

    def test_placeholders_are_the_same(self, script: ModuleType) -> None:
        for message in script.read("ko"):
            texts = [message.id, message.string] if isinstance(message.id, str) else [message.id[1], message.string[0]]
            if message.id:
                english, korean = (
                    sorted((name, form) for _, name, form, _ in Formatter().parse(t) if name) for t in texts
                )
                assert korean == english, message.id

    def test_what_is_compiled_is_what_is_written(self, script: ModuleType) -> None:
        compiled = io.BytesIO()
        script.write_mo(compiled, script.read("ko"))
        compiled.seek(0)
        with script.path_of("ko").with_suffix(".mo").open("rb") as file:
            there, written = (gettext.GNUTranslations(each)._catalog for each in (file, compiled))  # type: ignore[attr-defined]
        assert {**there, "": ""} == {**written, "": ""}, "run scripts/translations.py"

    def test_a_korean_console_of_windows_has_every_character(self, script: ModuleType) -> None:
        texts = [
            text
            for message in script.read("ko")
            for text in [message.string[0] if message.pluralizable else message.string]
        ]
        assert [text for text in texts if "\\u" in plainer(text, "cp949")] == []

    @pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
    def test_a_remedy_asks_politely(self, code: Code) -> None:
        language.choose("ko")
        assert re.search(r"세요(\.|: facegen)", code.remedy()) and "니다" in code.meaning()


class TestMessage:
    def test_it_is_said_in_the_language_of_the_moment(self) -> None:
        kind = translate("a zip archive")
        message = translate("The file is not gzip-compressed: it is {kind}.", kind=kind)
        assert message == "The file is not gzip-compressed: it is a zip archive."
        kept, sent = json.dumps(stored(message)), pickle.dumps(message)
        language.choose("ko")
        korean = "gzip으로 압축된 파일이 아닙니다(실제 형식: zip 압축 파일)."
        assert restored(json.loads(kept)) == pickle.loads(sent) == korean
        kept = json.dumps(stored(pickle.loads(sent)))
        language.choose("en")
        assert restored(json.loads(kept)) == message

    def test_numbers_agree(self) -> None:
        one, many = "It holds 1 image, not {wanted:,}.", "It holds {count:,} images, not {wanted:,}."
        assert translate_count(one, many, 1, wanted=1000) == "It holds 1 image, not 1,000."
        message = translate_count(one, many, 2000, wanted=1000)
        assert message == "It holds 2,000 images, not 1,000."
        language.choose("ko")
        assert restored(stored(message)) == "이미지가 2,000장 들어 있습니다. 1,000장이어야 합니다."

    def test_sentences_in_sequence_are_one_message(self) -> None:
        message = in_sequence(translate("It is not a file."), "As it is: {}.")
        assert message == "It is not a file. As it is: {}."
        language.choose("ko")
        assert restored(stored(message)) == "파일이 아닙니다. As it is: {}."

    @pytest.mark.parametrize("text", ["A plain text: {name}.", "", "{"])
    def test_a_plain_text_stays_as_it_is(self, text: str) -> None:
        assert stored(text) == restored(stored(text)) == text and not isinstance(restored(text), Message)

    def test_a_value_is_no_template(self) -> None:
        assert translate("{name} is not an image.", name="{x}") == "{x} is not an image."

    @pytest.mark.parametrize("value", [None, 1, [], {}, {"template": "{x}", "fields": {}, "many": None}])
    def test_what_is_not_a_stored_message_is_no_crash_of_another_kind(self, value: Any) -> None:
        with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
            restored(value)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images, where four are asked for, and a file that a system left."""
    monkeypatch.setattr("facegen.stages.pack.limits_for", lambda size: Limits(count=4, size=size))
    (folder := tmp_path / "images").mkdir()
    for i in range(4):
        Image.new("RGB", (64, 64), (i, 0, 9)).save(folder / f"{i}.png")
    (folder / ".DS_Store").touch()
    return folder


class TestPack:
    def test_a_good_folder(self, images: Path, tmp_path: Path, facegen: CommandLine) -> None:
        outcome = facegen("--lang", "ko", "pack", images, "s1", "--out", tmp_path)
        assert outcome.stdout == f"{tmp_path / 's1.tar.gz'}\n"
        assert outcome.stderr == (
            "운영 체제나 프로그램이 만든 파일·폴더 1개를 제외했습니다: .DS_Store.\n"
            f"이미지 4장을 압축했습니다: {tmp_path / 's1.tar.gz'} (0.0 MiB).\n"
        )

    def test_a_bad_folder(self, images: Path, tmp_path: Path, facegen: CommandLine) -> None:
        (images / "0.png").unlink()
        Image.new("RGBA", (64, 64)).save(images / "1.png")
        outcome = facegen("-q", "--lang", "ko", "pack", images, "s1", "--out", tmp_path)
        assert (outcome.exit_code, outcome.stdout) == (1, "")
        assert outcome.stderr == (
            "오류: 거부됨(wrong_count): 이미지가 3장 들어 있습니다. 4장이어야 합니다. 그 밖의 문제: '1.png': "
            "8비트 RGB(알파 채널 포함) 이미지입니다. 8비트 RGB여야 합니다. 이미지를 정확히 4장 제출하세요.\n"
        )

    def test_help(self, facegen: CommandLine) -> None:
        korean = facegen("--lang", "ko", "pack", "--help").stdout
        assert (
            "이미지(IMAGES) 1,000장을 <학번>.tar.gz 파일로 압축합니다." in korean
            and "tar.gz 파일을 저장할 폴더." in korean
        )
        assert not HANGUL.search(facegen("--lang", "en", "pack", "--help").stdout)

    def test_a_stream_without_hangul_is_no_crash(self, tmp_path: Path) -> None:
        environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "FACEGEN_LANG": "ko"}
        command = [sys.executable, "-m", "facegen", "pack", "absent", "s1"]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=60)
        said = done.stderr.decode("ascii")
        assert done.returncode == 2 and "facegen sample RUN IMAGES" in said and "Traceback" not in said
        assert said.startswith(r"\uc624\ub958")


def packed(folder: Path, student: str, *pictures: Image.Image) -> None:
    """Write a submission of these pictures, beside which a system left a file."""
    (source := folder.parent / student).mkdir()
    files = {"__MACOSX/x": source / "x"}
    files["__MACOSX/x"].touch()
    for number, picture in enumerate(pictures):
        files[f"{number}.png"] = source / f"{number}.png"
        picture.save(files[f"{number}.png"])
    folder.mkdir(exist_ok=True)
    write_tarball(files, folder / f"{student}.tar.gz")


class TestGrade:
    """What was graded in one language is shown in that of the run that shows it."""

    @pytest.fixture
    def grade(
        self, tmp_path: Path, scorer: Any, facegen: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[str], list[dict[str, Any]]]:
        monkeypatch.setattr(grade_stage, "limits_for", lambda size: Limits(count=2, size=size))
        monkeypatch.setattr(grade_stage, "open_scorer", lambda *words, **options: scorer)
        np.savez(tmp_path / "reference.npz", mu=np.zeros(1), sigma=np.eye(1))
        noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
        packed(tmp_path / "submissions", "good", *map(Image.fromarray, noise))
        packed(tmp_path / "submissions", "grey", *(Image.new("L", (64, 64)) for _ in range(2)))
        (tmp_path / "submissions" / "my work.tar.gz").write_bytes(b"PK\3\4" + bytes(99))
        (tmp_path / "submissions" / "zip.tar.gz").write_bytes(b"PK\3\4" + bytes(99))

        def rows(chosen: str) -> list[dict[str, Any]]:
            where = ("--reference", tmp_path / "reference.npz", "--out", tmp_path / "grades")
            where += ("--feedback", tmp_path / "feedback")
            found = facegen("--lang", chosen, "grade", tmp_path / "submissions", *where, "--json")
            submissions: list[dict[str, Any]] = json.loads(found.stdout)["submissions"]
            return submissions

        return rows

    def test_stored_work_is_shown_in_either_language(
        self, grade: Callable[[str], list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        korean = grade("ko")
        with monkeypatch.context() as patch:  # the second and third runs read no tarball again
            patch.setattr("facegen.grading.examine.read_tarball", None)
            english, again = grade("en"), grade("ko")
        assert again == korean
        assert [row["reason"] for row in korean] == [None, "wrong_mode", "bad_name", "not_gzip"]
        assert [row["reason"] for row in english] == [row["reason"] for row in korean]
        assert english[1]["message"] == "'0.png' is 8-bit grey, not 8-bit RGB."
        assert korean[1]["message"] == "'0.png': 8비트 회색조 이미지입니다. 8비트 RGB여야 합니다."
        assert english[1]["remedy"] == "Save the images as 8-bit RGB without transparency."
        assert korean[1]["remedy"] == "이미지를 투명도(알파 채널)가 없는 8비트 RGB로 저장하세요."
        assert korean[2]["message"] == "파일 이름 'my work.tar.gz': <학번>.tar.gz 형식이 아닙니다."
        assert korean[3]["message"] == "gzip으로 압축된 파일이 아닙니다(실제 형식: zip 압축 파일)."
        assert english[0]["notes"] == ["Ignored 1 file that systems and programs left in the archive."]
        assert korean[0]["notes"] == ["운영 체제나 프로그램이 압축 파일에 남긴 파일 1개를 무시했습니다."]
        assert korean[0]["score"] == english[0]["score"] and korean[0]["sha256"] == english[0]["sha256"]

    def test_so_are_the_files(self, grade: Callable[[str], list[dict[str, Any]]], tmp_path: Path) -> None:
        grade("ko")
        table = (tmp_path / "grades" / "leaderboard.csv").read_text(encoding="utf-8")
        page = (tmp_path / "feedback" / "grey.html").read_text(encoding="utf-8")
        assert "8비트 회색조 이미지입니다." in table
        assert '<html lang="ko">' in page and "제출한 파일을 채점할 수 없습니다." in page and "저장하세요." in page
        grade("en")
        table = (tmp_path / "grades" / "leaderboard.csv").read_text(encoding="utf-8")
        page = (tmp_path / "feedback" / "grey.html").read_text(encoding="utf-8")
        assert '<html lang="en">' in page and not HANGUL.search(table + page)

    def test_a_page_in_korean_escapes_what_is_put_in(self, tmp_path: Path) -> None:
        from facegen.grading.page import _translated

        language.choose("ko")
        said = _translated("Your file: {file}", file="<b>\u202e.tar.gz")
        assert said == r"제출한 파일: &lt;b&gt;\u202e.tar.gz"


def test_a_rejection_says_it_all_in_korean(tmp_path: Path) -> None:
    language.choose("ko")
    (tmp_path / "s1.tar.gz").write_bytes(b"")
    with pytest.raises(Rejection) as caught:
        read_submission(tmp_path / "s1.tar.gz")
    assert str(caught.value) == "거부됨(empty): 빈 파일입니다(0바이트). 이미지를 정확히 1,000장 제출하세요."
    assert caught.value.code is Code.EMPTY
