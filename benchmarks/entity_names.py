"""Names for the sets of hard pairs. What belongs here: lists of names, and nothing that is computed from them."""

from __future__ import annotations


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a, _, b in (word.partition("/") for word in text.split()))


GIVEN = tuple(
    """
    Alan Alice Amelie Amir Andrea Anita Anton Astrid Aylin Beatriz Benedict Birgit Bruno Camille Carlos Cedric
    Chiara Claire Clara Colin Dagmar Daria Denise Diego Dirk Dmitri Edith Elena Emre Enzo Ewa Fatima Felix Fiona
    Florian Gareth Giulia Gloria Gordon Greta Hamza Hannes Harriet Hector Henrik Hilda Hugo Igor Imogen Irene
    Isabel Ivana Jacob Jasmin Jerome Joanna Jonas Judith Julian Kamil Karen Katja Kevin Kirsten Laszlo Laura
    Leonard Lidia Louis Lucia Magnus Malik Manuela Marek Margot Marta Matteo Maxim Melissa Miguel Milena Miriam
    Nadia Nathan Nikos Noemi Norbert Olga Oscar Otto Pablo Paolo Pascal Pavel Petra Pierre Priya Quentin Rachel
    Radek Rafael Ramona Regina Renate Ricardo Rolf Rosa Ruben Sabine Samira Sergio Sigrid Silvia Simon Sofia
    Stefan Susan Tamara Tania Theo Tobias Ulrich Ursula Valerie Vera Victor Vincent Wanda Werner Xavier Yannick
    Yvonne Zoltan Zuzana
    """.split()
)
FAMILY = tuple(
    """
    Abbott Adler Aguilar Albrecht Almeida Andersson Antunes Arslan Bailey Balogh Barros Bauer Becker Bellini
    Bergmann Bianchi Blanchard Boateng Bondarenko Brennan Brunner Calloway Carvalho Castillo Chandler Chaudhry
    Conti Cordova Courtois Dahlberg Delacroix Demir Dimitrov Doyle Drummond Duarte Eklund Engel Esposito Farkas
    Fernandes Ferreira Fischer Fontana Forster Fournier Gallagher Gerber Goldberg Gonzaga Graber Greene Gupta
    Haddad Halvorsen Hartmann Hayashi Hendricks Herrera Hidalgo Hoffmann Holloway Horvath Hussain Ibrahim
    Iglesias Ivanov Jankowski Jimenez Johansson Kaminski Kapoor Kavanagh Keller Kessler Kimura Klein Kovacs
    Kramer Krishnan Kuznetsov Lacroix Langley Larsen Lefevre Lindholm Lombardi Lorenzen Macdonald Malhotra
    Marchetti Marquez Mendoza Mercier Middleton Moreau Morozov Nakamura Navarro Nielsen Novak Nowicki Obrien
    Olivares Olsen Ortega Paulsen Pedersen Pellegrini Pereira Petrov Pichler Popescu Prescott Quintana Ramsey
    Rasmussen Reinhardt Ribeiro Richter Rossi Roussel Sandoval Santoro Schaefer Schubert Sheridan Silvestri
    Sokolov Steiner Strand Sullivan Szabo Takahashi Teixeira Thornton Toth Underwood Valdez Vasquez Vogel
    Wagner Walczak Weber Whitfield Winkler Wysocki Yamamoto Yilmaz Zapata Zeller Zimmermann
    """.split()
)
# Different people, however alike.
ALIKE_GIVEN = _pairs(
    """
    Tim/Tom Ian/Iain Dan/Dean Jan/Jana Marie/Maria Karl/Karla Paul/Paula Claude/Claudia Jean/Joan Eric/Erica
    Daniel/Daniela Gabriel/Gabriela Martin/Martina Simon/Simone Rene/Renata Carol/Carl Julie/Julia Lena/Lina
    Mona/Moira Nora/Nina Rita/Rina Sonja/Tanja Mario/Maria Luca/Lucas Oliver/Olivia Patrick/Patricia Victor/Viktoria
    Harry/Larry Barry/Gary Jerry/Terry Kerry/Kelly Ron/Rob Don/Dan Bert/Bart Gina/Tina Anna/Anya Elena/Helene
    Marco/Mario Pedro/Petra Stefan/Stefanie Christian/Christina Alexander/Alexandra Robert/Roberta Henry/Henrike
    Michael/Michaela Joseph/Josephine Francis/Frances Angel/Angela Sam/Pam Jack/Jake Mark/Mary Leo/Lea Nick/Mick
    Ahmed/Ahmad Ali/Alia Amir/Amira Karim/Karima Ivan/Ivana Milan/Milena Adrian/Adriana Andre/Andrea Emil/Emilia
    Noel/Noelle Dario/Daria Silvio/Silvia Fabio/Fabia Toni/Tobi Jens/Jan Lisa/Luisa
    """
)
ALIKE_FAMILY = _pairs(
    """
    Berger/Bergner Hansen/Hanson Carter/Cartier Meyers/Mayer Fisher/Fischer Harris/Harrison Brook/Brooks
    Wood/Woods Stone/Stine Miles/Mills Parker/Barker Walter/Walker Martin/Martins Peters/Petersen Reid/Reed
    Grant/Gray Lang/Lange Bell/Ball Klein/Kline Snyder/Schneider Wang/Wong Lin/Ling Zhang/Zheng Kim/Kin Park/Pack
    Rossi/Rosso Ferrari/Ferraro Russo/Ruggo Costa/Coste Silva/Silveira Souza/Sousa Moreno/Moreau Perez/Peres
    Novak/Nowak Kovac/Kovacs Horak/Horakova Ivanov/Ivanko Petrov/Petrovic Popov/Popova Larsen/Larsson Nilsen/Nielsen
    Jansen/Janssen Bakker/Becker Visser/Vissers Smit/Smits Dubois/Dubos Durand/Durant Roux/Rous Simon/Simons
    Hunter/Hunt Wells/Welsh Dawes/Davies Evans/Ewans Lowe/Lower Payne/Paine Gibbs/Gibson Cole/Coles Rowe/Ross
    Hart/Hardt Keller/Kellner Vogt/Voigt Wolf/Wolff Braun/Brauner Huber/Hubner Kaiser/Kayser Lorenz/Lorentz
    """
)
# One person under two names.
NICKNAMES = _pairs(
    """
    Robert/Bob William/Bill Richard/Dick Edward/Ned Margaret/Peggy Elizabeth/Liz Katherine/Kate James/Jim
    Michael/Mike Christopher/Chris Thomas/Tom Anthony/Tony Daniel/Dan Samuel/Sam Benjamin/Ben Nicholas/Nick
    Joseph/Joe Andrew/Andy Steven/Steve Jennifer/Jen Patricia/Pat Deborah/Debbie Susan/Sue Barbara/Barb
    Charles/Chuck Theodore/Ted Frederick/Fred Gregory/Greg Timothy/Tim Jonathan/Jon Matthew/Matt Rebecca/Becky
    Victoria/Vicky Alexander/Alex Alexandra/Sandra Josephine/Jo Ronald/Ron Donald/Don Kenneth/Ken Lawrence/Larry
    Philip/Phil Raymond/Ray Stephen/Steve Walter/Walt Zachary/Zach Abigail/Abby Catherine/Cathy Dorothy/Dot
    Johannes/Hans Sebastian/Basti Francisco/Paco Giuseppe/Beppe Ekaterina/Katya Aleksandr/Sasha Maximilian/Max
    Jozsef/Jozsi Francesca/Franca Guillermo/Memo
    """
)
TOWNS = tuple(
    "Aalborg Bergen Brno Cork Dresden Ghent Graz Haarlem Leeds Lille Linz Lublin Malaga Murcia Nantes Odense "
    "Parma Plzen Porto Rostock Salzburg Split Szeged Tampere Trieste Turku Ulm Valence Verona Winterthur".split()
)
STREETS = tuple(
    "Alder Birch Canal Chapel Church Garden Harbour Hill Lake Linden Market Meadow Mill Orchard Park Quarry "
    "River School Station Tower".split()
)
TITLES = ("Account Manager", "Buyer", "Controller", "Engineer", "Project Manager", "Sales Manager", "Analyst")
ROLES = (
    "office", "sales", "info", "vertrieb", "kontakt", "buchhaltung", "einkauf", "support", "orders", "contabilidad",
    "ventas", "compras", "accueil", "comptabilite", "amministrazione", "verkoop", "reception", "biuro", "secretariat",
)  # fmt: skip
CRAFTS = tuple(
    "Bakery Brewing Carpentry Ceramics Chemicals Dental Design Electric Engineering Farming Fashion Film "
    "Freight Furniture Glass Hotels Insurance Instruments Ironworks Laboratories Leather Lighting Logistics "
    "Media Mining Optics Packaging Paper Pharma Plastics Printing Records Robotics Seafood Shipping Software "
    "Solar Steel Systems Textiles Tools Toys Trading Travel Ventures Vintners Watches Water Wines Wood".split()
)
