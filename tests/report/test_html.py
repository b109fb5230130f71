from html.parser import HTMLParser

from imcjax.report import write_html
from imcjax.report.html import page

from . import fake


class Reader(HTMLParser):
    """Checks that every tag is closed in order, and collects text and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.sources = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_page_is_whole_and_needs_nothing_else(tmp_path):
    result = fake.result(fake.LENET)
    path = tmp_path / "out" / "report.html"
    write_html(result, fake.history(result), path)
    text = path.read_text(encoding="utf-8")
    reader = read(text)
    for layer in result["layers"]:
        assert layer["path"] in reader.text
    for words in ("96.1", "within the budget", result["command"], "reram_wan2022", "write_noise", "0.10.1", "61.2 s", "94.0 %"):
        assert words in reader.text
    assert "http" not in text
    assert "script" not in reader.tags
    assert len(reader.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)


def test_everything_is_escaped():
    evil = "<script>alert('&\"')</script>"
    result = fake.result()
    result |= {"data": evil, "model": evil, "seed": evil, "command": ["imcjax", evil]}
    result["layers"][0]["path"] = evil
    result["hardware"][evil] = {evil: [{evil: evil}, evil]}
    result["conventions"][evil] = result["versions"][evil] = evil
    result["seconds"][evil] = 1.0
    result["uniform_baseline"]["candidates"][0]["weight"] = evil
    history = fake.history(result)
    history[0]["phase"] = evil
    text = page(result, history)
    reader = read(text)
    assert "script" not in reader.tags
    assert "<script" not in text
    assert reader.text.count(evil) > 8


def test_sparse_result():
    result = fake.result(chips=1)
    only = {key: result[key] for key in ("accuracy", "energy_j", "layers")}
    only["accuracy"] = {"float": None, "uniform_baseline": None, "chips": result["accuracy"]["chips"]}
    reader = read(page(only, []))
    assert "On one simulated chip" in reader.text
    assert "Run it again" not in reader.text


def test_many_candidates_and_long_lists():
    result = fake.result()
    result["uniform_baseline"]["candidates"] = [
        {"weight": 3 + i % 5, "input": 4, "adc": i, "energy_j": 1e-9 * i, "validation": {"mean": 0.9 + i / 1000}}
        for i in range(50)
    ]
    result["uniform_baseline"]["bits"] = {"weight": 4, "input": 4, "adc": 1}  # 49th of 50, and still to be seen
    result["hardware"]["levels"] = [float(i) for i in range(100)]
    text = page(result, [])
    assert '<tr class="chosen"><td>49</td>' in text
    assert "by validation accuracy, 21 of 50:" in text
    assert "… (100 entries)" in text
