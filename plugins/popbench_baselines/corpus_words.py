"""The vocabulary of the made-up corpus: topics, and patterns of titles and captions.

Only `build_corpus.py` reads it. A change here changes the corpus, and with it the demonstration predictor:
run both build scripts again.
"""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """The words of one partition: things for titles; actors, acts and places for captions."""

    things: str
    actors: str
    acts: str
    places: str
    label: str


TOPICS: dict[str, Topic] = {
    "Anime": Topic(
        "mecha sketch|swordswoman redraw|shrine spirit|cel animation test|inked storyboard|chibi sticker set|"
        "opening credits recut|manga panel|cosplay wig|voice dub outtake",
        "a silver-haired heroine|a tiny forest spirit|two rival swordsmen|a hovering robot suit|a masked runaway",
        "draws a blade|leans from a train window|casts a ring of light|turns towards the viewer|unfolds paper wings",
        "on a shrine stairway|above a floating town|in a schoolyard|under drifting blossom|beside a ruined gate",
        "hand-drawn animation",
    ),
    "Delicacy": Topic(
        "clay-pot rice|hand-pulled noodle|egg tart tray|pepper fish stew|scallion pancake|lotus root soup|"
        "charcoal skewer stand|mango ice|tofu pudding|pickled radish jar",
        "a grey-haired cook|a street vendor|a pair of chopsticks|a cast-iron wok|an apprentice baker",
        "lifts glossy noodles|ladles soup into a bowl|folds dough into pleats|pours syrup over shaved ice|"
        "flips a sizzling pancake",
        "at a market stall|in a narrow kitchen|on a wooden counter|beside a charcoal grill|by a steamed window",
        "home cooking",
    ),
    "Daily Sharing": Topic(
        "balcony tidy-up|laundromat hour|grocery run|commuter diary|desk reset|rented-room makeover|"
        "grandpa's radio|thrift haul|lunchbox habit|five-minute stretch",
        "a student in a cardigan|a young mother|an office worker|two flatmates|a grandfather in slippers",
        "waters a row of ferns|folds warm laundry|unpacks a paper bag|waves from the doorway|pours a morning coffee",
        "in a small flat|on a bus seat|at a corner shop|on a plant-filled balcony|by an open fridge",
        "an ordinary day",
    ),
    "Film and TV": Topic(
        "courtroom finale|detective cold open|costume drama cut|stunt rehearsal|villain monologue|deleted ending|"
        "sitcom blooper|war epic trailer|continuity error|heist scene",
        "a detective in a trench coat|an ageing actor|a stunt double|a weeping duchess|a crew with a crane",
        "slams a folder shut|walks off the stage|rolls across a car bonnet|reads the last letter|raises a clapperboard",
        "on a sound stage|in a panelled courtroom|under a theatre spotlight|on a backlot|inside a stalled lift",
        "a scene taken apart",
    ),
    "Game": Topic(
        "boss rematch|pixel farm tour|ranked comeback|speedrun skip|castle build|gacha pull|co-op disaster|"
        "retro cartridge|stealth mission|patch-note rant",
        "an armoured knight|a pixel farmer|a streamer in headphones|a squad of four|a kart driver",
        "dodges the final swing|drops from the map edge|mashes the controller|breaks the last shield|"
        "drifts past the rest",
        "in a lava arena|on a voxel island|at a cluttered gaming desk|in a ruined keep|on a glass racetrack",
        "recorded gameplay",
    ),
    "Travel": Topic(
        "ferry crossing|salt-flat drive|cliff monastery|night train berth|hostel rooftop|desert camp|canal loop|"
        "border bus|island scooter|glacier walk",
        "a lone backpacker|a row of camels|a wooden ferry|two cyclists|a guide with a lantern",
        "crosses a rope bridge|rounds the headland|climbs the last dune|looks over the valley|boards a crowded deck",
        "along a mountain road|beside a turquoise lake|in an old harbour|on a desert ridge|at the edge of a canyon",
        "notes from the road",
    ),
    "Pets": Topic(
        "rescued kitten|grumpy parrot|puppy class|tortoise bath|hamster maze|sheepdog herding|cat versus printer|"
        "rabbit hutch|goldfish tank|senior dog",
        "a ginger kitten|a spotted puppy|a fat hamster|an indignant parrot|a sheepdog",
        "tumbles off the couch|chases a paper ball|steals a sock|sniffs at the lens|hides in a shoebox",
        "on a knitted rug|in a fenced garden|under the dinner table|on a sunny sill|by the vet's door",
        "animal company",
    ),
    "Music": Topic(
        "busker duet|basement drum take|choir warm-up|looped cello|wedding band encore|beatbox lesson|"
        "broken-string solo|lullaby cover|brass parade|synth jam",
        "a street violinist|a drummer with taped hands|a schoolgirl choir|a bearded guitarist|a brass quartet",
        "hits the chorus|bows the last note|swaps the rhythm|sings to the back row|tunes a battered guitar",
        "in a subway passage|on a festival stage|in a tiled stairwell|at a rooftop party|in a garage studio",
        "live performance",
    ),
    "Sports": Topic(
        "buzzer-beater|parkour line|bouldering slab|relay handover|ping-pong rally|skate gap|underdog penalty|"
        "marathon wall|deadlift fail|surf lesson",
        "a barefoot sprinter|a goalkeeper|a climber in chalk dust|a skater|a wheelchair racer",
        "leaps over the rail|saves the last shot|reaches for the hold|lands the trick|breaks the tape",
        "on a wet pitch|at a concrete park|in a shouting gym|on an overhang|along the seafront track",
        "match footage",
    ),
    "Handcraft": Topic(
        "walnut spoon|resin lamp|embroidered jacket|paper lantern|wheel-thrown mug|leather wallet|miniature diorama|"
        "loom sampler|glass bead|restored clock",
        "a potter with muddy arms|a wood carver|a pair of patient hands|a glassblower|a seamstress",
        "shapes the rim|peels a curl of walnut|threads a tiny needle|sets the last cog|turns the glowing bead",
        "at a scarred workbench|beside a kiln|in a shed full of tools|under a desk lamp|near a whirring wheel",
        "a maker's process",
    ),
}
"""The partitions: five are close to the tasks' categories, five are not."""

QUESTIONS = (
    "Would you trust this {thing}?|Why does nobody talk about the {thing}?|Is this {thing} worth the fuss?|"
    "Who else grew up with the {thing}?|How did the {thing} end like that?"
)
EMOTIONS = (
    "I cried over this {thing}|The {thing} that broke my heart|Shocking {thing}, wait for the end|"
    "So happy with this {thing}|An unbelievable {thing} in one take|My proudest {thing} so far"
)
NUMBERS = (
    "{n} tries at one {thing}|Day {n} of the {thing}|{n} secrets of a good {thing}|{n} seconds of pure {thing}|"
    "Part {n} of the {thing} saga"
)
PLAIN = (
    "About the {thing}|Another {thing} for the archive|The {thing}, filmed on a weekday|Notes on the {thing}|"
    "The {thing} from last week|{thing}, unedited"
)
TAILS = (
    "|||, told from start to finish for my parents|, with everything that went on behind it that afternoon|"
    ", as a neighbour asked for it some while ago"
)

# from dark to bright and from still to fast: words that the generator `kinetic` understands
LIGHTS: tuple[tuple[str, float], ...] = (
    ("at night, in deep shadow", -1.0),
    ("after dark, with a dim moonlit sky", -0.9),
    ("under a dusk sky full of stars", -0.7),
    ("lit by neon from across the road", -0.3),
    ("in plain grey weather", 0.0),
    ("in steady rain", -0.1),
    ("in the amber glow of a candle", 0.4),
    ("in golden autumn light", 0.6),
    ("in pale winter snow", 0.7),
    ("in bright morning sunlight", 1.0),
    ("in vivid summer daylight", 1.0),
)
MOTIONS: tuple[tuple[str, float], ...] = (
    ("The camera hardly moves; it is quiet and still.", -1.0),
    ("All of it is slow, calm and soft.", -0.9),
    ("The shot drifts gently.", -0.6),
    ("The camera follows at walking pace.", 0.0),
    ("The view turns once around.", 0.1),
    ("There is a quick burst of movement.", 0.7),
    ("Everyone starts running and the lens has to chase.", 0.9),
    ("It ends with a rapid, spinning dash.", 1.0),
)
MOODS = "homely|scruffy|lovely|strange|tense|tender|noisy|modest"
