"""What the samples say. Written for this project; each page has words of its own, so that a mix-up of pages shows."""

from __future__ import annotations

NOTE = """\
Tasks for the spring fair

☐ Book the town hall → Maria !!!
☑ Print 200 posters (Tom) 17/12/2025
☐ Ask the bakery for a quote @nadia
• Order chairs and tables [Paul Meyer]
• Rent a van, due Dec 17
- Call the florist, assigned to: Irene
- Send the invitations ASAP
1. Paint the big sign whenever
2. Check the lights, owner: Samuel
[ ] Buy paper cups 2025-12-05
[x] Write to the mayor !!
    She asked for two dates."""

LETTER = """\
The Lighthouse Library

Dear members,

After eleven months of work the reading room above the
harbour opens again on Saturday, 14 March. The old shelves
were sanded and oiled by volunteers, the roof no longer
leaks, and the stairs have a rail on both sides.

We are proud of the new map cabinet: 346 charts of the
coast, the oldest drawn in 1791, can now be seen without an
appointment. Please wash your hands first; gloves do more
harm than good, because they make fingers clumsy.

Opening hours are 9:30 to 17:00 from Tuesday to Friday, and
10:00 to 13:00 at the weekend. Borrowing costs nothing, but
a late book costs £0.20 a day.

If you can spare an evening each month, our desk needs
three more helpers. No experience is required, only
patience and a liking for questions.

With kind regards,
Edith Marlowe, librarian"""

SCAN = (
    """\
Bees in a small garden

A hive needs less room than most people think. Two square
metres in a quiet corner are enough, if the entrance faces
a hedge that makes the bees climb above our heads.

Begin in May with a young colony of about 10,000 bees. Give
them sugar water in the first week and then leave them in
peace. Every visit costs them a day of work.

Neighbours should hear of the plan before the bees arrive.
A jar of honey in September helps more than arguments.""",
    """\
Tools and clothing

You will want a veil, a smoker, a hive tool and a soft
brush. Thick gloves can stay in the shed: they crush bees,
and crushed bees alarm all the others.

Light colours are best. Wool and dark felt remind a guard
bee of a bear, and she acts accordingly. Tie your sleeves
with a ribbon and breathe slowly.

The smoker burns dry grass, cardboard or old jute. It must
give cool, white smoke that does not hurt your hand.""",
    """\
The first harvest

When four fifths of a comb are sealed with wax, the honey
holds less than 18% water and will keep for years. Take the
combs in the morning, before the field bees return.

Never take everything. A colony eats 15 kg between October
and March, and what it has gathered itself suits it better
than anything from a shop.

Strain the honey through a coarse sieve, let it stand for
three days, and skim off the foam before you fill the jars.""",
)

MIXED = (
    """\
Minutes of the rowing club
Present were nine members and two guests.
The treasurer reported a balance of 1,284.50 euros.
The red boat will be repaired before the regatta in June.
Nobody objected to a new lock for the boathouse.""",
    """\
Annex: boats and their keepers

Heron, four seats, kept by Julia Stone
Otter, two seats, kept by Victor Hale
Kingfisher, eight seats, out of the water until May
Every keeper checks the hull once a month.""",
)

TURNED = """\
How to bake rye bread

Mix 500 grams of rye flour with the same weight of warm
water and two spoons of old sourdough. Cover the bowl and
let it rest overnight beside the stove.

In the morning add salt, caraway and another 300 grams of
flour. The dough stays sticky; wet hands are the trick.
Shape a round loaf and let it rise until it shows cracks.

Bake it hot for ten minutes and then gently for an hour.
It is done when a knock on its bottom sounds hollow. Wait
a full day before you cut it, however hard that is."""

UPSIDE = """\
Rules of the night train

Seats are reserved from the left end of each carriage. Ask
the guard before you move to another compartment, because
beds are made up in the order of the list.

Bicycles travel in the last carriage. Take off your bags
and write your station on the label. Dogs need a ticket,
cats in a basket do not.

Breakfast is served from six o'clock until half an hour
before arrival. The kettle is free for everyone."""

SKEWED = """\
Report on the village pond

The water was tested at five places on 2 April. It is
clear to a depth of 80 centimetres and holds enough oxygen
for fish. Only the northern bank smells of old leaves.

We counted 14 frogs, three newts and one grass snake. The
ducks have returned and nest behind the willow.

We propose to remove a third of the reeds each autumn, and
to leave the rest as shelter for the winter."""

PHOTO = """\
Found on the beach

One brown leather case with a brass lock, the initials H.K.
on its lid. Inside were a compass, a pair of spectacles and
seven letters, all of them dry.

The finder lives at 22 Quay Street and would be glad to
return the case to its owner. Please ring twice and bring
some proof, for instance the name on the letters."""

FAX = (
    "Order 4471\n\nSix boxes of blue tiles\nDelivery before noon",
    "Order 4472\n\nNine rolls of copper wire\nTo be collected on Monday",
    "Order 4473\n\nTwo oak doors with frames\nCall the site office first",
)

CMYK = "Garden concert\n\nStrings and brass in the walled garden\nSunday at four, bring a blanket"
SIXTEEN_BIT = "Sample 16\n\nEvery grey of this strip has sixteen bits\nThe faint line must be readable too"
TRANSPARENT = "Ink without paper\n\nThe letters are black and the ground\nis not there at all"
BLURRED = "Out of focus\n\nThe bus to the museum leaves at noon\nand returns at a quarter past six"
LOCKED = "Private notes\n\nThe spare key hangs behind the clock\nNobody else should read this page"
EXIF = "Held sideways\n\nThe camera knew which way was up\nand wrote it into the file"
