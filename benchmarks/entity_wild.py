"""Hard pairs of organisations, made by seed: legal forms and spellings; subsidiaries and alike names.

What belongs here: the pairs, and the unrelated firms among which they are hidden. What does not: measuring.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

from benchmarks.entity_names import CRAFTS, FAMILY, STREETS, TOWNS
from benchmarks.entity_sets import HardSet, Pairs
from ingest_assets.model import Identity

NAME, EACH, CROWD = "organisations-wild", 40, 1_000
# {} is the name. Some stand before it, some after it, some on either side.
FORMS = (
    "{} GmbH", "{} GmbH & Co. KG", "{} AG", "{} e.K.", "{} OHG", "{} SE", "{} UG (haftungsbeschränkt)", "{} Ltd.",
    "{} Limited", "{} LLC", "{} Inc.", "{} Corporation", "{} plc", "{} Pty Ltd", "{} Pvt. Ltd.", "{} S.A.",
    "{} SARL", "SARL {}", "{} SAS", "{} S.L.", "{} S.p.A.", "{} S.r.l.", "{} B.V.", "{} N.V.", "AB {}", "{} AB",
    "A/S {}", "{} A/S", "{} ApS", "{} AS", "Oy {} Ab", "{} Oy", "{} Sp. z o.o.", "{} S.A.", "{} s.r.o.", "{} a.s.",
    "{} d.o.o.", "{} Kft.", "{} Zrt.", "{} SRL", "{} Ltda.", "{} S.A. de C.V.", "PT {}", "{} Sdn. Bhd.", "{} A.Ş.",
    "{} K.K.", "{} Co., Ltd.",
)  # fmt: skip
# Names in other scripts, with forms that are written with them.
SCRIPTS = {
    ("Ромашка", "Северсталь Логистика", "Вектор", "Полюс Сервис", "Балтика Трейд", "Уралмаш Деталь"): (
        "ООО «{}»", "ООО {}", "ЗАО {}", "АО «{}»", "ПАО {}", "{} ООО", "ИП {}", "ТОВ {}",
    ),
    ("山田商事", "東京電算", "青葉製作所", "北海道水産", "中村工業", "大和印刷"): (
        "株式会社{}", "{}株式会社", "有限会社{}", "(株){}", "{}㈱", "合同会社{}",
    ),
    ("明华科技", "东方贸易", "长江机械", "南海食品", "华美家具"): ("{}有限公司", "{}股份有限公司", "{}有限责任公司"),
    ("한빛전자", "대양물산", "세종건설", "미래식품"): ("주식회사 {}", "{} 주식회사", "(주){}", "㈜{}"),
    ("Ήλιος Τροφίμων", "Αιγαίο Ναυτιλία", "Όλυμπος Τεχνική"): ("{} Α.Ε.", "{} ΕΠΕ", "{} Ο.Ε."),
    ("النخيل للتجارة", "الأمل الصناعية"): ("شركة {}", "{} ش.م.م", "شركة {} ذ.م.م"),
}  # fmt: skip
ANDS = ("&", "and", "und", "et", "y", "+", "en", "och")
UMLAUTS = (("Müller", "Mueller"), ("Schröder", "Schroeder"), ("Jäger", "Jaeger"), ("Größler", "Groessler"),
           ("Weiß", "Weiss"), ("Köhler", "Koehler"), ("Strauß", "Strauss"), ("Süß", "Suess"), ("Bjørn", "Bjoern"),
           ("Lindström", "Lindstroem"), ("Krüger", "Krueger"), ("Häußler", "Haeussler"))  # fmt: skip


def organisations_wild(seed: int = 1) -> HardSet:
    """One firm under two spellings; firms that share a name's words, a domain or a house."""
    firms = _Firms(seed)
    for _ in range(3 * EACH):
        firms.legal_forms()
    for names, forms in SCRIPTS.items():
        for name in names:
            firms.scripts(name, forms)
    for _ in range(EACH):
        firms.words_for_and()
        firms.umlauts()
        firms.subsidiaries()
        firms.alike_names()
        firms.other_crafts()
        firms.same_house()
    return firms.done()


class _Firms:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"{NAME} {seed}")
        self.identities: dict[str, Identity] = {}
        self.truth: dict[str, str] = {}
        self.pairs: dict[bool, Pairs] = {True: defaultdict(list), False: defaultdict(list)}
        self.used: set[str] = set()

    def legal_forms(self) -> None:
        name, (one, other) = self.name(), self.rng.sample([*FORMS, "{}"], 2)
        self.twice("legal forms", one.format(name), other.format(name))

    def scripts(self, name: str, forms: tuple[str, ...]) -> None:
        one, other = self.rng.sample([*forms, "{}"], 2)
        self.twice("legal forms of other scripts", one.format(name), other.format(name))

    def words_for_and(self) -> None:
        first, second = self.rng.sample(FAMILY, 2)
        one, other = self.rng.sample(ANDS, 2)
        self.twice("words for and", f"{first} {one} {second}", f"{first} {other} {second}")

    def umlauts(self) -> None:
        (one, other), craft = self.rng.choice(UMLAUTS), self.rng.choice(CRAFTS)
        words = f"{craft} {self.rng.choice(FAMILY)}"
        self.twice("umlauts", f"{one} {words}", f"{other} {words}")

    def subsidiaries(self) -> None:
        """Of one group: one domain, and a name that says the town."""
        name, (one, other) = self.name(), self.rng.sample(TOWNS, 2)
        form, domain = self.rng.choice(FORMS), (self.domain(name),)
        sides = [
            Identity("organisation", form.format(f"{name} {town}"), domains=domain, **self.home(town))
            for town in (one, other)
        ]
        self.apart("subsidiaries", sides[0], sides[1])

    def alike_names(self) -> None:
        """One word of the name differs, in one town."""
        first, craft = self.rng.choice(FAMILY), self.rng.choice(CRAFTS)
        other, town = self.rng.choice([name for name in FAMILY if name != first]), self.rng.choice(TOWNS)
        sides = [
            Identity(
                "organisation",
                f"{name} {craft}",
                domains=(self.domain(f"{name} {craft}"),),
                **self.home(town),
            )
            for name in (first, other)
        ]
        self.apart("one craft, other names", sides[0], sides[1])

    def other_crafts(self) -> None:
        name, (one, other), town = self.rng.choice(FAMILY), self.rng.sample(CRAFTS, 2), self.rng.choice(TOWNS)
        sides = [
            Identity(
                "organisation",
                f"{name} {craft}",
                domains=(self.domain(f"{name} {craft}"),),
                **self.home(town),
            )
            for craft in (one, other)
        ]
        self.apart("one name, other crafts", sides[0], sides[1])

    def same_house(self) -> None:
        """Neighbours in one building, perhaps behind one switchboard."""
        home = self.home(self.rng.choice(TOWNS))
        phones = (self.phone(),) if self.rng.random() < 0.5 else ()
        sides = [Identity("organisation", self.name(), phones=phones, **home) for _ in range(2)]
        self.apart("one house", sides[0], sides[1])

    def twice(self, kind: str, one: str, other: str) -> None:
        """One firm, of which both records know its domain, its telephone or its address."""
        known: dict[str, Any] = self.rng.choice(
            [
                {"domains": (self.domain(one),)},
                {"phones": (self.phone(),)},
                self.home(self.rng.choice(TOWNS)),
                {"place": self.rng.choice(TOWNS)},
            ]
        )
        sides = [Identity("organisation", name, **known) for name in (one, other)]
        entity = f"{kind} {len(self.identities)}"
        self._pair(kind, [self.add(side, entity) for side in sides], same=True)

    def apart(self, kind: str, one: Identity, other: Identity) -> None:
        entity = f"{kind} {len(self.identities)}"
        self._pair(kind, [self.add(one, entity), self.add(other, f"{entity}, the other")], same=False)

    def _pair(self, kind: str, keys: list[str], *, same: bool) -> None:
        left, right = sorted(keys)
        self.pairs[same][kind].append((left, right))

    def add(self, identity: Identity, entity: str) -> str:
        key = f"r{self.rng.randrange(10**9):09d}-{len(self.identities):05d}"
        self.identities[key], self.truth[key] = identity, entity
        return key

    def name(self) -> str:
        while True:
            name = f"{self.rng.choice(FAMILY)} {self.rng.choice(CRAFTS)}"
            if self.rng.random() < 0.5:
                name = f"{self.rng.choice(FAMILY)} {name}"
            if name not in self.used:
                self.used.add(name)
                return name

    def domain(self, name: str) -> str:
        word = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum()) or "site"
        return f"{word[:20]}{self.rng.randrange(1000)}.{self.rng.choice(['com', 'de', 'eu', 'net'])}"

    def phone(self) -> str:
        return f"+4930{self.rng.randrange(10**6, 10**7)}"

    def home(self, town: str) -> dict[str, Any]:
        rng = self.rng
        return {
            "address": f"{rng.randrange(1, 200)} {rng.choice(STREETS)} Street",
            "place": town,
            "postcode": str(rng.randrange(10_000, 99_999)),
        }

    def done(self) -> HardSet:
        for number in range(CROWD):
            name = self.name()
            one = Identity(
                "organisation",
                self.rng.choice(FORMS).format(name),
                domains=(self.domain(name),) if self.rng.random() < 0.6 else (),
                phones=(self.phone(),) if self.rng.random() < 0.6 else (),
                **(self.home(self.rng.choice(TOWNS)) if self.rng.random() < 0.8 else {}),
            )
            self.add(one, f"crowd {number}")
            if number % 4 == 0:
                self.add(replace(one, name=self.rng.choice(FORMS).format(name)), f"crowd {number}")
        shown = {key: {"name": i.name} for key, i in self.identities.items()}
        return HardSet(
            NAME,
            "organisation",
            self.identities,
            self.truth,
            shown,
            dict(self.pairs[False]),
            dict(self.pairs[True]),
        )
