"""The words that fill the stories. Nothing here carries a number, so none of it is part of a problem's identity."""

SHE = ["Anna", "Mia", "Ella", "Zoe", "Lily", "Sara", "Nina", "Ruth", "Emma", "Kate", "Rosa", "Ivy", "Leah", "Tina"]
HE = ["Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Omar", "Paul", "Noah", "Luis", "Finn", "Adam", "Eric", "Hugo"]

# things that are owned, given and sold one by one
THINGS = ["apples", "pencils", "marbles", "stickers", "books", "shells", "cards", "coins", "stamps", "beads",
          "oranges", "cookies", "candies", "balloons", "toys", "eggs", "flowers", "muffins", "lemons", "buttons"]
PACKS = ["boxes", "bags", "packs", "baskets", "jars", "crates"]
FOODS = ["cookies", "muffins", "cupcakes", "pies", "buns", "rolls"]
GOODS = [("pen", "pens"), ("book", "books"), ("shirt", "shirts"), ("ball", "balls"), ("cup", "cups"), ("hat", "hats"),
         ("lamp", "lamps"), ("toy", "toys"), ("plant", "plants"), ("bag", "bags"), ("mug", "mugs"), ("belt", "belts")]
PLANTS = ["trees", "tulips", "bushes", "roses", "tomato plants"]
JOBS = ["at a bakery", "at a farm", "in a shop", "at a cafe", "in a library", "at a garage"]
GROUPS = ["students", "children", "guests", "players", "workers", "visitors"]
PLACES = ["school", "park", "camp", "museum", "club", "pool"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
TIMES_WORD = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}
FRACTION = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}
RELATIVES = ["brother", "sister", "friend", "cousin", "neighbor"]

SYSTEMS = [
    "Solve the problem step by step.",
    "You are a careful math tutor. Write one step per line and end with #### and the answer.",
    "Think step by step. The last line is #### followed by the number.",
    "You are a helpful assistant.",
    "Answer the question. Show your work.",
    "Solve the math problem. Give the final answer after ####.",
]
