import pytest
from pydantic import Field

from recsys.features.columns import DEFAULT_EVENTS, CatalogColumns, EventType, LogColumns, Table
from recsys.features.errors import SettingsError
from recsys.features.settings import Settings, nearest


class Als(Settings):
    factors: int = Field(default=64, gt=0)


class Retrieval(Settings):
    als: Als = Als()
    events: dict[str, EventType] = Field(default_factory=dict)
    many: list[Als] = Field(default_factory=list)


class Engine(Settings):
    retrieval: Retrieval = Retrieval()
    log: LogColumns = LogColumns()
    name: str = "engine"


def refusal(call, *args, **kwargs):
    with pytest.raises(SettingsError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_a_misspelt_key_is_answered_with_the_nearest_known_one():
    told = refusal(Engine.parse, {"retrieval": {"als": {"factor": 3}}})
    assert told == "unknown setting 'retrieval.als.factor'; did you mean 'factors'?"


def test_a_misspelt_argument_in_python_is_told_the_same_way():
    assert refusal(LogColumns, usr="x") == "unknown setting 'usr'; did you mean 'user'?"


def test_a_key_like_no_other_is_answered_with_all_of_them():
    assert refusal(Als, zzz=1) == "unknown setting 'zzz'; known are factors"


def test_a_misspelt_key_inside_a_table_or_a_list_is_found():
    told = refusal(Engine.parse, {"retrieval": {"events": {"view": {"wieght": 1}}}})
    assert told.endswith("'retrieval.events.view.wieght'; did you mean 'weight'?")
    told = refusal(Engine.parse, {"retrieval": {"many": [{"factor": 1}]}})
    assert told.endswith("'retrieval.many.0.factor'; did you mean 'factors'?")


def test_a_broken_rule_names_the_key_the_rule_and_the_value():
    told = refusal(Engine.parse, {"retrieval": {"als": {"factors": -2}}})
    assert told == "setting 'retrieval.als.factors': Input should be greater than 0; got -2"


def test_the_place_of_the_table_comes_first():
    assert refusal(Als.parse, {"factors": "x"}, where="engine.als").startswith(
        "setting 'engine.als.factors'"
    )


def test_all_wrong_keys_are_told_at_once():
    told = refusal(Engine.parse, {"nmae": "x", "retrieval": {"als": {"factors": 0}}})
    assert "'nmae'" in told
    assert "factors" in told


def test_a_missing_key_is_named():
    class Needy(Settings):
        path: str

    assert refusal(Needy) == "setting 'path' is missing"


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Als().factors = 3


def test_nearest():
    assert nearest("colour", ["color", "size"]) == "did you mean 'color'?"
    assert nearest("zzz", ["b", "a"]) == "known are a, b"


def test_one_name_stands_for_a_list_of_one():
    columns = CatalogColumns.parse({"text": "title", "tags": ["a", "b"], "path": "items.csv"})
    assert columns.text == ("title",)
    assert columns.tags == ("a", "b")
    assert columns.paths == ("items.csv",)


def test_columns_survive_json():
    columns = CatalogColumns(text="title", flags={"genre": ["a", "b"]}, keep="first")
    assert CatalogColumns.parse(columns.model_dump(mode="json")) == columns


def test_mapped_names_each_column_once():
    columns = CatalogColumns(text=["title", "plot"], title="title", flags={"g": ["a"]}, price="p")
    assert columns.mapped == ("item_id", "title", "p", "plot", "a")
    assert columns.shown == "title"
    assert LogColumns(time="t").mapped == ("user_id", "item_id", "t")


@pytest.mark.parametrize(
    ("call", "values", "rule"),
    [
        (LogColumns, {"future_tolerance": -1}, "greater than or equal to 0"),
        (Table, {"names": ["a"]}, "set header = false"),
        (Table, {"separator": "::"}, "at most 1 character"),
        (EventType, {"weight": 0}, "greater than 0"),
        (EventType, {"weight": float("inf")}, "finite"),
        (EventType, {"weight": float("nan")}, "finite"),
        (CatalogColumns, {"keep": "newest"}, "'first', 'last' or 'most_common'"),
    ],
)
def test_rules_of_columns(call, values, rule):
    assert rule in refusal(call, **values)


def test_what_is_bought_is_not_offered_again_but_what_is_viewed_is():
    again = {name for name, event in DEFAULT_EVENTS.items() if event.offer_again}
    assert again == {"view", "click", "cart", "addtocart", "add_to_cart"}
