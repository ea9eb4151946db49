"""What tables and columns are called, in the languages that CRMs are made in.

Names are compared without case, accents and the signs between words: "First_Name", "FirstName" and
"first name" are one. A list below holds such names without the blanks.

What belongs here: words. What does not: what they are taken for (`roles`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_LEAST_STEM = 3
_LEAST_SHARING = 3  # tables
SURE = 2


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name).replace("ß", "ss"))
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)).lower())


def joined(words: Sequence[str]) -> str:
    """Words as the lists below have them."""
    return "".join(word for word in words if not word.isdigit())


def singular(words: Sequence[str]) -> list[str]:
    """The words of a table's name, the last one in the singular."""
    if not words:
        return []
    *before, last = words
    if last in _IRREGULAR:
        return [*before, _IRREGULAR[last]]
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if last.endswith(ending) and len(last) > len(ending) + 1:
            return [*before, last.removesuffix(ending) + instead]
    if last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > _LEAST_STEM:
        return [*before, last.removesuffix("s")]
    return [*before, last]


def same_noun(some: Sequence[str], table: Sequence[str]) -> bool:
    """Whether words are the singular, or a form, of a table's name."""
    return likeness(some, table) > 0


def shared_prefix(names: Sequence[str]) -> str:
    """The word that the names of all tables begin with, as of programs that share a database; else ""."""
    firsts = {words[0] if len(words := words_of(name)) > 1 else "" for name in names}
    return firsts.pop() if len(names) >= _LEAST_SHARING and len(firsts) == 1 else ""


def without(prefix: str, words: Sequence[str]) -> list[str]:
    """The words without a prefix that all tables share."""
    return list(words[1:] if prefix and words[:1] == [prefix] else words)


def likeness(some: Sequence[str], table: Sequence[str]) -> int:
    """How surely words name one row of a table: 2 the same in the singular, 1 alike, 0 not."""
    one, other = joined(singular(some)), joined(singular(table))
    if not one or not other:
        return 0
    if one == other or joined(some) == other or one == joined(table):
        return SURE
    pairs = enumerate(zip(one, other, strict=False))
    common = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
    return int(common >= max(_LEAST_STEM, len(one) - 1, len(other) - 3))


_IRREGULAR = {
    "people": "person", "personen": "person", "children": "child", "staff": "staff", "news": "news",
    "kontakte": "kontakt", "firmen": "firma", "kunden": "kunde", "personas": "persona", "series": "series",
    "statuses": "status", "addresses": "address", "companies": "company", "data": "data",
}  # fmt: skip


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDS = _words("id uuid guid key pk code nr no kennung clave cle chave")
ID_ENDS = _words("id uuid guid fk key")
GIVEN = _words(
    "firstname givenname forename christianname fname first vorname rufname prenom primernombre "
    "voornaam fornavn fornamn imie etunimi имя 名 givennames firstnames nombres prenoms"
)
FAMILY = _words(
    "lastname surname familyname lname last nachname familienname zuname nomdefamille nomfamille "
    "apellido apellidos primerapellido cognome sobrenome achternaam efternamn etternavn efternavn "
    "nazwisko sukunimi фамилия 姓 secondname"
)
# Given or family names, where the table has the other of the two; names in full otherwise.
GIVEN_OR_NAME = _words("nome nombre name имя imie")
FAMILY_OR_NAME = _words("nom name naam namn navn")
NAME = _words(
    "libelle name fullname displayname completename contactname personname nom nomcomplet nombre "
    "nombrecompleto nome nomecompleto naam navn namn nazwa bezeichnung denominacion "
    "ragionesociale razonsocial raisonsociale firmenname companyname organisationname "
    "organizationname accountname legalname businessname orgname название наименование фио 名前 "
    "氏名 会社名 名称 顧客名 vollername"
)
COMPANY = _words(
    "company companyname organisation organization organisationname organizationname employer "
    "firma firmenname entreprise societe empresa azienda ditta bedrijf unternehmen business "
    "businessname firm ragionesociale razonsocial raisonsociale accountname компания 会社 会社名 "
    "foretag"
)
JOB = _words(
    "jobtitle job position jobposition occupation profession funktion beruf stellung cargo puesto "
    "poste fonction qualifica ruolo functie contacttitle berufsbezeichnung stanowisko должность "
    "役職 jobrole"
)
JOB_OR_TITLE = _words("title titel titre titulo titolo")
TITLE = _words(
    "subject betreff sujet objet asunto oggetto onderwerp temat assunto title titel titre titulo "
    "titolo tytul headline caption label topic thema theme тема заголовок 件名 題名 タイトル "
    "headline"
)
NUMBER = _words(
    "number nummer numero numer nr no code ref reference invoicenumber ordernumber casenumber "
    "documentnumber belegnr номер 番号"
)
EMAIL = _words(
    "email mail emails mails courriel correo emailaddress mailaddress epost eposta почта メール "
    "メールアドレス"
)
NOT_VALUE = _words(
    "template subject body id optout verified status count sent type confirmed at date format opt "
    "bounced notify notification notifications ext extension invalid caps text content settings "
    "signature server port message messages campaign private do not call"
)
PHONE = _words(
    "contactnumber contactnumbers contactno mobileno phoneno "
    "phone phones telephone tel telefon telefono telefone fon mobile mobil handy cell cellphone "
    "cellulare portable gsm fax telefax movil celular rufnummer telefoon telefonnummer "
    "phonenumber mobilephone телефон 電話 電話番号 landline"
)
NO_PHONE = _words("mobileapp")
BIRTH = _words(
    "birthdate birthday dateofbirth birth dob born birthdayon geburtsdatum geburtstag geburt "
    "datenaissance naissance datedenaissance fechanacimiento fechadenacimiento nacimiento "
    "datadinascita datanascita nascita geboortedatum datanascimento datadenascimento "
    "dataurodzenia fodelsedatum датарождения 生年月日"
)
ADDRESS = _words(
    "address street streetaddress addressline addressstreet strasse str adresse anschrift rue "
    "calle direccion domicilio via indirizzo straat adres ulica endereco adress gata улица адрес "
    "住所 streetline hausanschrift"
)
PLACE = _words(
    "city town place ort stadt wohnort ville ciudad citta localita poblacion plaats stad cidade "
    "miasto miejscowosc город 市 municipality locality commune gemeinde"
)
POSTCODE = _words(
    "postcode postalcode zip zipcode plz postleitzahl codepostal cp codigopostal cap cep "
    "kodpocztowy postnummer индекс 郵便番号 postal"
)
COUNTRY = _words("country countryname land pays pais paese nation staat kraj страна 国 countrycode")
WEB = _words(
    "website web url homepage domain webpage site webseite internet siteweb sitioweb paginaweb "
    "sitoweb weburl domains websiteurl сайт ウェブサイト webaddress"
)
IDENTIFIERS = _words(
    "vat vatnumber vatid vatno taxid taxnumber ustid ustidnr uid siret siren nif cif piva "
    "partitaiva codicefiscale cpf cnpj nip regon ssn nationalid registrationnumber companynumber "
    "duns steuernummer handelsregister инн rfc abn ein"
)
BODY = _words(
    "description descr notes note body content contents text message comment comments memo remark "
    "remarks details summary beschreibung bemerkung bemerkungen notiz notizen inhalt nachricht "
    "kommentar texte contenu commentaire commentaires remarque remarques descripcion notas "
    "contenido mensaje comentario comentarios observaciones descrizione contenuto messaggio "
    "commento note testo omschrijving opmerking opmerkingen inhoud bericht tekst descricao "
    "conteudo mensagem observacoes opis tresc uwagi beskrivning anteckningar описание текст "
    "примечание комментарий 内容 備考 本文 説明 メモ bio biography html bodyhtml reply transcript "
    "resolution worklog"
)
SECRET = _words(
    "password passwd pwd hash salt token secret apikey session otp remember passwordhash kennwort "
    "passwort motdepasse contrasena senha haslo пароль userhash credential credentials"
)
DELETED = _words(
    "deleted isdeleted deletedat deletedon deletedate datedeleted deletiondate geloscht geloescht "
    "geloschtam geloeschtam supprime supprimele eliminado eliminadoel borrado removed removedat "
    "trashed trashedat usuniety удален cancellato verwijderd 削除 isremoved softdeleted"
)
ARCHIVED = _words(
    "archived isarchived archivedat active isactive enabled aktiv actif activo attivo inactive hidden"
)
CREATED = _words(
    "created createdat createdon createddate creationdate creation datecreated dateentered "
    "entered datec added addedat dateadded inserted insertedat registered registeredat angelegt "
    "angelegtam erstellt erstelltam erfasst erfasstam cree creele datecreation datedecreation "
    "creado creadoel fechacreacion fechaalta creato creatoil datacreazione aangemaakt utworzono "
    "создан датасоздания 作成日 登録日 createtime createddatetime"
)
CHANGED = _words(
    "modified modifiedat modifiedon datemodified updated updatedat updatedon dateupdated changed "
    "changedat lastmodified lastupdated lastchange geandert geaendert geandertam geaendertam "
    "aenderung anderung modifie misajour modificado actualizado modificato aggiornato gewijzigd "
    "tms datem изменен 更新日 lastupdate updatetime reindexed indexed synced"
)
HAPPENED = _words(
    "date datum data fecha datetime timestamp time when day occurred occurredat happened "
    "happenedat start started startat startedat startdate starttime datestart begin beginn "
    "begindate sent sentat senton datesent received receivedat datereceived eventdate meetingdate "
    "calldate orderdate invoicedate issuedate issuedat transactiondate activitydate scheduledat "
    "schedulefrom schedule visitdate belegdatum bestelldatum rechnungsdatum termin datefacture "
    "datecommande fechapedido fechafactura dataordine datafattura дата 日付 日時 postedat "
    "published publishedat zeit"
)
# Columns of programs, not of people.
TECHNICAL = _words(
    "entity importkey rowversion rowguid lockversion optlock lft rgt sortorder sorting checksum etag "
    "extraparams modelpdf lastmaindoc"
)
STATES = _words(
    "status state stage phase priority prioritat type typ kind category kategorie categorie "
    "categoria stato estado statut etape etapa fase stufe industry branche sector segment source "
    "leadsource channel kanal language sprache currency region rating stan приоритет статус 状態 "
    "salesstage dealstage pipeline"
)
AMOUNTS = _words(
    "amount total price value revenue betrag summe preis umsatz montant prix importe precio importo prezzo"
)
PEOPLE_TABLES = _words(
    "person people contact customer client employee user lead member staff mitarbeiter kontakt "
    "ansprechpartner benutzer personne employe utilisateur persona contacto empleado usuario "
    "cliente persone contatti dipendente personen medewerker pessoa contato funcionario osoba "
    "personer сотрудник контакт сотрудники контакты клиенты 担当者 顧客 社員 prospect student "
    "patient interessent kunde kunden klient contactperson"
)
ORGANISATION_TABLES = _words(
    "company account organisation organization firm supplier vendor shipper firma firmen "
    "unternehmen lieferant lieferanten entreprise societe fournisseur empresa proveedor azienda "
    "aziende ditta fornitore bedrijf bedrijven leverancier fornecedor firmy foretag компания "
    "компании 会社 partner dealer agency reseller manufacturer kunde kunden customer client "
    "klient org"
)
TECHNICAL_TABLES = _words(
    "migration session cache queue token passwordreset resettoken oauth audit log config "
    "configuration setting preference permission acl sequence metadata version webhook "
    "translation locale failedjob jobbatch job cron scheduler upgradehistory tracker vcal "
    "savedsearch dashboard userprefs fieldsmetadata customfield importmap lock eventlog changelog "
    "history tempfile fts outboundemail inboundemail"
)
LOOKUP_TABLES = _words(
    "type status stage category genre reason currency country language state priority mediatype "
    "kategorie typ land pays pais paese unit rating salutation title region industry branch source"
)
# How names of look-up tables begin: "c_country", "ref_state".
LOOKUP_STARTS = _words("c lkp lkup lookup ref tbl dict dim enum list")
TYPE_ENDS = _words("type module class table model kind entity typ")
