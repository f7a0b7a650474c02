"""Common English nouns, from which instructions begin that are written from nothing."""

from __future__ import annotations

from typing import Final

_WORDS = """
airport alphabet anchor apple archive argument army artist atom audience autumn bakery balance bank battery beach
bee bell bicycle biology blanket boat book border bottle boundary brain bread bridge budget butterfly button cable
calendar camera candle canvas capital carbon castle cell chair chemistry childhood choir cinema circle city climate
clock cloud coal coast coffee coin colour comet compass concert contract copper coral court crystal currency dance
data debate desert diary dictionary disease doctor dream drum earthquake echo economy editor election electricity
elephant employee energy engine error evening evolution experiment fabric factory family farmer festival film
finance fire fish flag flight flood flower forest fossil fountain friendship frost fuel furniture galaxy game garden
gene ghost glacier glass goat gold grammar graph gravity guitar habit hammer harbour harvest health heart history
honey horizon hospital hotel house hunger ice identity illness image income infinity insect insurance invention
island jacket jazz journey judge jungle justice kitchen knife knowledge laboratory ladder lake language laser law
leaf lens letter library lighthouse liquid logic lion loan luck machine magnet map market mathematics meal medicine
melody memory merchant metal microscope migration milk mirror molecule money monument moon mountain museum music
myth navigation neighbour nest network newspaper night novel number oak ocean office opinion orbit orchestra oxygen
paint paper parliament patient pattern peace pencil philosophy photograph physics piano planet plastic poem poetry
pollen port potato poverty prime probability protein proverb puzzle queen question radio rain recipe recycling
religion rent rice river robot rocket root rope rumour sailor salt sand satellite scale school sculpture season
secret seed sentence shadow ship silence silk sleep smoke snow soil song sound space speech spice spider sport
spring square stage star station statistics steam stone storm story strategy street student sugar summer sun surgery
survey symbol symmetry tax teacher telescope temperature theatre theory thunder tide timber time tournament tower
town toy trade train translation treaty tree triangle tunnel uncertainty union universe vaccine valley vegetable
velocity village violin virus vitamin volcano vote wage wall war water wave weather weight whale wheat wheel
wildlife wind window wine winter wood wool word workshop writer year yeast zebra zero
"""

NOUNS: Final = tuple(_WORDS.split())
