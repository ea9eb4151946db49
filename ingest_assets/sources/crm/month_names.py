"""Names of months in the languages of Western CRMs, in full and as they are shortened.

What belongs here: names that mean the same month in every language that has them. What does not: numbers.
"""

from __future__ import annotations

# English, German, French, Spanish, Italian, Dutch, Portuguese.
_NAMES = """
jan january januar jänner janvier enero gennaio januari janeiro ene genn janv
feb february februar février febrero febbraio februari fevereiro fév févr fev
mar march märz mars marzo maart março mär mrz mrt
apr april avril abril aprile avr abr
may mai mayo maggio mei maio mag
jun june juni juin junio giugno junho giu
jul july juli juillet julio luglio julho lug juil
aug august août agosto augustus ago aoû
sep september septembre septiembre settembre setembro sept set
oct october oktober octobre octubre ottobre outubro okt ott out
nov november novembre noviembre novembro
dec december dezember décembre diciembre dicembre dezembro dez dic déc
"""
# By name, casefolded.
MONTHS = {
    name.casefold(): month
    for month, names in enumerate(_NAMES.split("\n")[1:13], 1)
    for name in names.split()
}
