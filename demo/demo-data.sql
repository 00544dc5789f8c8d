-- Demo data: two restaurants with their staff, menus and this evening's orders.
--
-- Loading it again changes nothing. Every key shows what it identifies:
--
--     11111111-1111-4111-8111-111111111111     restaurant 1, Casa Azul in London
--     22222222-2222-4222-8222-222222222222     restaurant 2, Ελιά & Κάρβουνο in Athens
--     11111111-1111-4111-8111-000000000001     user 1 of restaurant 1 (of both: 00000000-0000-4000-8000-000000000001)
--     11111111-1111-4111-8111-a00000000012     its product 12; likewise c category, b modifier, d variant, e order, f item
--
-- Sign in with `fynlo-server token --user maria@casa-azul.example`.

create or replace function pg_temp.demo_id(p_restaurant integer, p_kind text, p_number integer) returns uuid
language sql immutable
return format(
    '%s-%s-4%s-8%s-%s%s',
    repeat(p_restaurant::text, 8), repeat(p_restaurant::text, 4), repeat(p_restaurant::text, 3),
    repeat(p_restaurant::text, 3), p_kind, lpad(p_number::text, 11, '0'))::uuid;

create or replace function pg_temp.demo_restaurant(p_restaurant integer) returns uuid
language sql immutable
return format(
    '%s-%s-4%s-8%s-%s',
    repeat(p_restaurant::text, 8), repeat(p_restaurant::text, 4), repeat(p_restaurant::text, 3),
    repeat(p_restaurant::text, 3), repeat(p_restaurant::text, 12))::uuid;

insert into restaurants (id, name, timezone) values
    (pg_temp.demo_restaurant(1), 'Casa Azul Taquería', 'Europe/London'),
    (pg_temp.demo_restaurant(2), 'Ελιά & Κάρβουνο', 'Europe/Athens')
on conflict do nothing;

insert into users (id, supabase_id, email, full_name, role, restaurant_id, is_active)
select
    pg_temp.demo_id(v.restaurant, '0', v.number), 'demo-' || v.login, v.login || '@' || v.domain, v.full_name, v.role,
    case when v.restaurant > 0 then pg_temp.demo_restaurant(v.restaurant) end, v.is_active
from (
    values
        (0, 1, 'olivia', 'fynlo.example', 'Olivia Bennett', 'platform_owner', true),
        (1, 1, 'maria', 'casa-azul.example', 'María Guadalupe Ortiz', 'restaurant_owner', true),
        (1, 2, 'jose', 'casa-azul.example', 'José Ángel Núñez', 'manager', true),
        (1, 3, 'sofia', 'casa-azul.example', 'Sofía Peña', 'employee', true), -- works in both
        (1, 4, 'liam', 'casa-azul.example', 'Liam O''Connor', 'employee', true),
        (1, 5, 'aicha', 'casa-azul.example', 'Aïcha Benali', 'employee', true),
        (1, 6, 'tomas', 'casa-azul.example', 'Tomás Ibáñez', 'employee', false), -- has left
        (2, 1, 'dimitris', 'elia-karvouno.example', 'Δημήτρης Παπαδόπουλος', 'restaurant_owner', true),
        (2, 2, 'eleni', 'elia-karvouno.example', 'Ελένη Γεωργίου', 'manager', true),
        (2, 3, 'nikos', 'elia-karvouno.example', 'Νίκος Αντωνίου', 'employee', true),
        (2, 4, 'soren', 'elia-karvouno.example', 'Søren Kjær', 'employee', true),
        (2, 5, 'zeynep', 'elia-karvouno.example', 'Zeynep Yılmaz', 'employee', true)
) as v (restaurant, number, login, domain, full_name, role, is_active)
on conflict do nothing;

insert into user_restaurants (user_id, restaurant_id)
select u.id, r.id
from users u
cross join restaurants r
where u.id = pg_temp.demo_id(1, '0', 3) and r.id in (pg_temp.demo_restaurant(1), pg_temp.demo_restaurant(2))
on conflict do nothing;

-- The menus ----------------------------------------------------------------------------------------------------------

insert into categories (id, restaurant_id, name, description, icon, sort_order, is_active)
select
    pg_temp.demo_id(v.restaurant, 'c', v.number), pg_temp.demo_restaurant(v.restaurant), v.name, v.description, v.icon,
    v.number * 10, v.is_active
from (
    values
        (1, 1, 'Antojitos', 'Small plates to share', '🫓', true),
        (1, 2, 'Tacos', 'Two to a portion, on our own corn tortillas', '🌮', true),
        (1, 3, 'Burritos & Bowls', 'With rice, beans and pico de gallo', '🌯', true),
        (1, 4, 'De la Parrilla', 'From the charcoal grill', '🔥', true),
        (1, 5, 'Salsas & Sides', 'For the middle of the table', '🌶️', true),
        (1, 6, 'Postres', 'Something sweet', '🍮', true),
        (1, 7, 'Aguas & Café', 'Without alcohol', '🥤', true),
        (1, 8, 'Bar', 'Tequila, mezcal and beer', '🍹', true),
        (1, 9, 'Día de los Muertos', 'Late October and early November only', '💀', false),
        (2, 1, 'Ορεκτικά', 'Starters and dips', '🫒', true),
        (2, 2, 'Σαλάτες', 'Salads', '🥗', true),
        (2, 3, 'Στα κάρβουνα', 'Over charcoal', '🔥', true),
        (2, 4, 'Σουβλάκι & Γύρος', 'In pita or on the plate', '🥙', true),
        (2, 5, 'Θαλασσινά', 'From the sea', '🐙', true),
        (2, 6, 'Της κατσαρόλας', 'From the oven and the pot', '🍲', true),
        (2, 7, 'Γλυκά', 'Desserts', '🍯', true),
        (2, 8, 'Ποτά', 'Drinks', '🍷', true),
        (2, 9, 'Πασχαλινά', 'Easter menu', '🐑', false)
) as v (restaurant, number, name, description, icon, is_active)
on conflict do nothing;

insert into products (
    id, restaurant_id, category_id, name, description, price, is_active, sort_order, allergens, nutritional_info,
    preparation_time)
select
    pg_temp.demo_id(v.restaurant, 'a', v.number), pg_temp.demo_restaurant(v.restaurant),
    pg_temp.demo_id(v.restaurant, 'c', v.category), v.name, v.description, v.price,
    (v.restaurant, v.number) not in ((1, 41), (2, 33)), -- off the menu for now
    v.number * 10, to_jsonb(string_to_array(v.allergens, ', ')),
    jsonb_build_object('kcal', v.kcal, 'protein_g', v.protein, 'carbohydrates_g', v.carbohydrates, 'fat_g', v.fat),
    v.minutes
from (
    values
        -- number, category, name, description, price, minutes, allergens, kcal, protein, carbohydrates, fat
        (1, 1, 1, 'Guacamole & Totopos', 'Avocado crushed to order, lime, coriander, warm corn chips', 6.50, 5, '', 420, 6, 38, 28),
        (1, 2, 1, 'Nachos Casa Azul', 'Black beans, Monterey Jack, jalapeños, crema', 9.75, 8, 'milk', 880, 28, 82, 49),
        (1, 3, 1, 'Quesadilla de Huitlacoche', 'Corn truffle, Oaxaca cheese, epazote', 8.25, 9, 'milk', 540, 22, 48, 29),
        (1, 4, 1, 'Elote Callejero', 'Grilled corn, mayonnaise, cotija, chile piquín', 5.25, 7, 'milk, eggs', 330, 9, 34, 19),
        (1, 5, 1, 'Esquites', 'The same corn off the cob, in a cup', 5.25, 5, 'milk, eggs', 310, 9, 33, 17),
        (1, 6, 1, 'Sopa Azteca', 'Tomato and pasilla broth, tortilla strips, avocado', 6.95, 6, 'celery, milk', 290, 8, 30, 15),
        (1, 7, 1, 'Tostada de Tinga', 'Chicken in chipotle, lettuce, crema', 6.75, 6, 'milk', 360, 21, 27, 18),
        (1, 8, 1, 'Tostada de Atún', 'Tuna, soy, crisp leek, chipotle mayonnaise', 8.95, 6, 'fish, soya, eggs', 380, 24, 25, 20),
        (1, 9, 1, 'Flautas de Papa', 'Rolled and fried, potato and chorizo, salsa verde', 7.25, 10, 'milk', 510, 14, 52, 27),
        (1, 10, 1, 'Ceviche Acapulco', 'Sea bass, lime, tomato, serrano', 10.50, 8, 'fish', 240, 27, 14, 8),
        (1, 11, 2, 'Taco al Pastor', 'Pork from the trompo, pineapple, onion, coriander', 6.95, 6, '', 390, 24, 36, 16),
        (1, 12, 2, 'Taco de Carnitas', 'Slow pork shoulder, salsa verde', 6.75, 6, '', 430, 26, 33, 21),
        (1, 13, 2, 'Taco de Barbacoa', 'Beef cheek in avocado leaf, consommé', 7.50, 6, '', 440, 29, 33, 21),
        (1, 14, 2, 'Taco de Pollo Asado', 'Citrus chicken, pico de gallo', 6.50, 7, '', 370, 27, 34, 13),
        (1, 15, 2, 'Taco de Pescado', 'Baja style: beer batter, cabbage, lime mayonnaise', 7.75, 9, 'fish, gluten, eggs', 470, 22, 45, 22),
        (1, 16, 2, 'Taco de Camarón', 'Prawns, garlic, chile de árbol', 8.25, 8, 'crustaceans, milk', 380, 23, 34, 16),
        (1, 17, 2, 'Taco de Nopales', 'Grilled cactus, queso fresco', 6.25, 6, 'milk', 300, 10, 35, 13),
        (1, 18, 2, 'Taco de Coliflor', 'Cauliflower in adobo, cashew crema', 6.25, 8, 'nuts', 320, 9, 38, 15),
        (1, 19, 2, 'Quesabirria', 'Crisp, with beef birria and a cup of its broth', 9.25, 10, 'milk', 620, 35, 38, 36),
        (1, 20, 2, 'Taco de Lengua', 'Ox tongue, salsa de cacahuate', 7.25, 6, 'peanuts', 450, 25, 33, 24),
        (1, 21, 3, 'Burrito de Carne Asada', 'Skirt steak, rice, frijoles charros', 11.50, 9, 'gluten, milk', 910, 46, 96, 36),
        (1, 22, 3, 'Burrito de Pollo', 'Citrus chicken, rice, black beans', 10.75, 9, 'gluten, milk', 860, 44, 98, 30),
        (1, 23, 3, 'Burrito Vegano', 'Cauliflower, sweet potato, black beans, guacamole', 10.25, 9, 'gluten', 780, 21, 112, 26),
        (1, 24, 3, 'Burrito Mojado', 'Carnitas, drowned in red salsa and cheese', 12.25, 11, 'gluten, milk', 1040, 48, 99, 48),
        (1, 25, 3, 'Bowl Azul', 'Blue corn, quinoa, avocado, roast squash', 10.95, 7, 'sesame', 610, 17, 78, 25),
        (1, 26, 3, 'Bowl de Pollo', 'Citrus chicken, rice, charred corn', 11.25, 7, 'milk', 690, 42, 74, 23),
        (1, 27, 3, 'Enchiladas Verdes', 'Chicken, tomatillo, crema, onion', 12.50, 12, 'milk', 720, 38, 62, 34),
        (1, 28, 3, 'Enchiladas de Mole', 'Chicken in mole poblano, sesame', 13.50, 12, 'milk, nuts, peanuts, sesame', 790, 40, 68, 39),
        (1, 29, 4, 'Arrachera 250 g', 'Skirt steak, cambray onions, tortillas', 19.50, 15, '', 690, 55, 32, 36),
        (1, 30, 4, 'Pollo al Carbón', 'Half a chicken, achiote, lime', 15.75, 18, '', 720, 62, 12, 46),
        (1, 31, 4, 'Camarones a la Diabla', 'Prawns in chile de árbol and guajillo', 17.25, 12, 'crustaceans, milk', 460, 36, 22, 25),
        (1, 32, 4, 'Pulpo a las Brasas', 'Octopus, potatoes, macha salsa', 18.95, 14, 'molluscs, peanuts, sesame', 520, 38, 30, 27),
        (1, 33, 4, 'Parrillada para Dos', 'Arrachera, chicken, chorizo, nopales, everything', 39.00, 20, 'milk', 1480, 112, 70, 82),
        (1, 34, 4, 'Chuleta de Cerdo', 'Pork chop, adobo, pickled red onion', 16.50, 16, '', 640, 48, 14, 43),
        (1, 35, 5, 'Arroz Rojo', 'Tomato rice', 3.50, 3, 'celery', 220, 4, 44, 3),
        (1, 36, 5, 'Frijoles Refritos', 'Refried black beans, queso fresco', 3.75, 3, 'milk', 240, 11, 30, 9),
        (1, 37, 5, 'Papas Bravas', 'Fried potatoes, chipotle', 4.50, 8, 'eggs', 380, 5, 46, 20),
        (1, 38, 5, 'Salsa Macha', 'Dried chillies, peanut, sesame, oil', 1.75, 1, 'peanuts, sesame', 160, 3, 4, 15),
        (1, 39, 5, 'Salsa de Piña Habanera', 'Pineapple and habanero 🔥', 1.50, 1, '', 35, 0, 8, 0),
        (1, 40, 5, 'Crema y Queso', 'Soured cream, cotija', 1.95, 1, 'milk', 140, 4, 3, 13),
        (1, 41, 5, 'Chicharrón', 'Pork crackling, lime', 3.95, 2, '', 310, 24, 0, 24),
        (1, 42, 6, 'Churros con Cajeta', 'Cinnamon sugar, goat''s milk caramel', 6.25, 8, 'gluten, milk, eggs', 520, 7, 71, 24),
        (1, 43, 6, 'Flan Napolitano', 'Baked vanilla custard', 5.75, 2, 'milk, eggs', 340, 9, 44, 14),
        (1, 44, 6, 'Pastel de Tres Leches', 'Soaked sponge, three milks', 6.50, 2, 'gluten, milk, eggs', 450, 9, 55, 21),
        (1, 45, 6, 'Helado de Mamey', 'Two scoops', 4.75, 2, 'milk', 260, 4, 34, 12),
        (1, 46, 6, 'Piñata de Chocolate', 'Crack it: mousse, berries, popping candy 🎉', 8.95, 4, 'milk, soya, eggs', 610, 8, 66, 35),
        (1, 47, 7, 'Agua de Jamaica', 'Hibiscus', 3.50, 1, '', 90, 0, 23, 0),
        (1, 48, 7, 'Agua de Horchata', 'Rice, cinnamon, almond', 3.75, 1, 'nuts', 160, 2, 34, 2),
        (1, 49, 7, 'Agua de Tamarindo', 'Tamarind', 3.50, 1, '', 110, 0, 28, 0),
        (1, 50, 7, 'Jarritos', 'Mandarin, lime or grapefruit, 370 ml', 3.25, 1, '', 170, 0, 43, 0),
        (1, 51, 7, 'Café de Olla', 'Cinnamon and piloncillo', 2.95, 3, '', 60, 0, 15, 0),
        (1, 52, 7, 'Chocolate Caliente Oaxaqueño', 'Whisked in water or milk', 3.95, 4, 'milk, nuts', 280, 7, 36, 12),
        (1, 53, 8, 'Margarita Clásica', 'Blanco tequila, lime, agave, salt', 9.50, 3, '', 210, 0, 16, 0),
        (1, 54, 8, 'Margarita de Jalapeño', 'Infused for a day', 9.95, 3, '', 215, 0, 17, 0),
        (1, 55, 8, 'Paloma', 'Tequila, grapefruit soda', 8.95, 2, '', 190, 0, 20, 0),
        (1, 56, 8, 'Mezcalita de Piña', 'Espadín, pineapple, chile salt', 10.50, 3, '', 220, 0, 19, 0),
        (1, 57, 8, 'Michelada', 'Lager, lime, tomato, spices', 6.95, 3, 'gluten, fish, celery', 180, 2, 18, 0),
        (1, 58, 8, 'Cerveza Pacífico', '355 ml', 4.75, 1, 'gluten', 150, 1, 13, 0),
        (1, 59, 8, 'Negra Modelo', '355 ml', 4.95, 1, 'gluten', 170, 2, 16, 0),
        (1, 60, 8, 'Nørrebro Kølsch', 'Our guest on tap, from Copenhagen', 5.95, 1, 'gluten', 210, 2, 17, 0),
        (1, 61, 8, 'Mezcal Espadín', '35 ml, orange, sal de gusano', 7.25, 1, '', 80, 0, 0, 0),
        (1, 62, 8, 'Tequila Añejo', '35 ml', 8.50, 1, '', 78, 0, 0, 0),
        (1, 63, 9, 'Pan de Muerto', 'Orange blossom, sugar', 4.25, 2, 'gluten, milk, eggs', 390, 8, 58, 14),
        (1, 64, 9, 'Calavera de Azúcar', 'A sugar skull with your name', 3.00, 1, '', 200, 0, 50, 0),

        (2, 1, 1, 'Τζατζίκι', 'Strained yoghurt, cucumber, garlic', 5.20, 3, 'milk', 180, 8, 8, 13),
        (2, 2, 1, 'Ταραμοσαλάτα', 'White cod roe, lemon', 5.80, 3, 'fish, gluten', 310, 6, 18, 24),
        (2, 3, 1, 'Μελιτζανοσαλάτα', 'Smoked aubergine, parsley', 5.50, 3, '', 190, 3, 13, 14),
        (2, 4, 1, 'Τυροκαυτερή', 'Feta whipped with hot peppers', 5.60, 3, 'milk', 290, 11, 5, 25),
        (2, 5, 1, 'Χούμους', 'Chickpeas, tahini', 5.20, 3, 'sesame', 330, 11, 30, 18),
        (2, 6, 1, 'Φέτα ψητή', 'Baked feta, tomato, oregano', 6.90, 10, 'milk', 360, 17, 8, 29),
        (2, 7, 1, 'Σαγανάκι', 'Fried graviera, lemon', 7.40, 7, 'milk, gluten', 430, 21, 12, 33),
        (2, 8, 1, 'Ντολμαδάκια', 'Vine leaves, rice, dill', 6.30, 4, '', 280, 5, 34, 14),
        (2, 9, 1, 'Κολοκυθοκεφτέδες', 'Courgette fritters, mint', 6.80, 8, 'milk, eggs, gluten', 370, 12, 30, 22),
        (2, 10, 1, 'Γίγαντες', 'Giant beans in tomato', 6.20, 5, 'celery', 320, 14, 42, 10),
        (2, 11, 1, 'Πίτα ψητή', 'Grilled pita, oil, oregano', 1.80, 3, 'gluten', 210, 6, 36, 5),
        (2, 12, 1, 'Ελιές Καλαμών', 'Kalamata olives', 3.40, 1, '', 170, 1, 4, 17),
        (2, 13, 2, 'Χωριάτικη', 'Tomato, cucumber, onion, olives, a slab of feta', 8.90, 5, 'milk', 410, 13, 16, 32),
        (2, 14, 2, 'Ντάκος', 'Cretan rusk, grated tomato, mizithra', 7.60, 5, 'gluten, milk', 390, 13, 36, 21),
        (2, 15, 2, 'Σαλάτα με χόρτα', 'Wild greens, lemon, oil', 6.40, 5, '', 160, 4, 8, 13),
        (2, 16, 2, 'Σαλάτα με σύκα', 'Figs, rocket, walnuts, manouri', 9.20, 5, 'milk, nuts', 440, 13, 32, 29),
        (2, 17, 2, 'Φάβα Σαντορίνης', 'Yellow split peas, capers, onion', 6.90, 4, '', 310, 15, 40, 10),
        (2, 18, 2, 'Πατζάρια με γιαούρτι', 'Beetroot, yoghurt, walnuts', 6.70, 4, 'milk, nuts', 260, 9, 22, 15),
        (2, 19, 3, 'Παϊδάκια αρνίσια', 'Lamb chops by the half kilo', 19.80, 18, '', 890, 68, 0, 68),
        (2, 20, 3, 'Μπριζόλα χοιρινή', 'Pork chop, 400 g', 13.50, 16, '', 780, 64, 0, 57),
        (2, 21, 3, 'Μπιφτέκι', 'Beef patties, mint, lemon potatoes', 12.40, 14, 'gluten, eggs', 690, 44, 40, 39),
        (2, 22, 3, 'Κοτόπουλο στα κάρβουνα', 'Half a chicken, lemon, thyme', 12.90, 20, '', 740, 66, 4, 50),
        (2, 23, 3, 'Adana kebabı', 'Minced lamb, urfa pepper, sumac onions', 14.20, 14, 'gluten', 720, 46, 30, 46),
        (2, 24, 3, 'Λουκάνικο χωριάτικο', 'Village sausage, orange peel', 9.80, 12, '', 560, 28, 4, 48),
        (2, 25, 3, 'Χαλούμι σχάρας', 'Grilled halloumi, honey', 8.60, 8, 'milk', 420, 24, 10, 32),
        (2, 26, 3, 'Ποικιλία για δύο', 'Chops, souvlaki, sausage, bifteki, pita', 36.50, 22, 'gluten, milk, eggs', 1720, 118, 96, 96),
        (2, 27, 3, 'Κοκορέτσι', 'On Sundays', 13.80, 20, '', 610, 52, 3, 43),
        (2, 28, 4, 'Σουβλάκι χοιρινό', 'Pork skewer, pita, tomato, onion, tzatziki', 4.20, 8, 'gluten, milk', 520, 28, 44, 25),
        (2, 29, 4, 'Σουβλάκι κοτόπουλο', 'Chicken skewer in pita', 4.40, 8, 'gluten, milk', 480, 31, 44, 19),
        (2, 30, 4, 'Γύρος χοιρινός', 'Pork gyros, chips, mustard', 4.60, 5, 'gluten, milk, mustard', 640, 30, 52, 34),
        (2, 31, 4, 'Γύρος κοτόπουλο', 'Chicken gyros, crema', 4.70, 5, 'gluten, milk', 600, 33, 52, 28),
        (2, 32, 4, 'Φαλάφελ', 'Chickpeas, tahini, pickles', 4.50, 8, 'gluten, sesame', 560, 17, 66, 25),
        (2, 33, 4, 'Σουβλάκι ξιφία', 'Swordfish, when the boat comes in', 8.90, 9, 'fish, gluten', 490, 35, 42, 19),
        (2, 34, 4, 'Μερίδα γύρος', 'Gyros on the plate, pita, everything', 10.90, 9, 'gluten, milk', 980, 52, 72, 54),
        (2, 35, 4, 'Σκεπαστή', 'Two pitas, cheese between them, gyros within', 11.60, 10, 'gluten, milk', 1050, 50, 84, 58),
        (2, 36, 5, 'Χταπόδι στα κάρβουνα', 'Octopus dried in the sun, vinegar', 15.90, 12, 'molluscs', 330, 40, 6, 15),
        (2, 37, 5, 'Καλαμαράκια τηγανητά', 'Fried squid, lemon', 12.80, 9, 'molluscs, gluten', 520, 28, 34, 30),
        (2, 38, 5, 'Γαρίδες σαγανάκι', 'Prawns, tomato, feta, ouzo', 14.60, 12, 'crustaceans, milk', 430, 34, 14, 25),
        (2, 39, 5, 'Τσιπούρα', 'Whole sea bream, greens', 17.90, 18, 'fish', 470, 52, 4, 27),
        (2, 40, 5, 'Σαρδέλες ψητές', 'Sardines in vine leaves', 11.20, 10, 'fish', 410, 38, 3, 27),
        (2, 41, 5, 'Μύδια αχνιστά', 'Mussels, white wine', 11.90, 9, 'molluscs, sulphites', 280, 30, 12, 11),
        (2, 42, 6, 'Μουσακάς', 'Aubergine, mince, béchamel', 11.80, 6, 'milk, eggs, gluten, celery', 720, 32, 44, 46),
        (2, 43, 6, 'Παστίτσιο', 'Macaroni, mince, béchamel', 10.90, 6, 'milk, eggs, gluten', 780, 34, 68, 41),
        (2, 44, 6, 'Γεμιστά', 'Tomatoes and peppers with rice', 9.80, 5, '', 430, 9, 62, 16),
        (2, 45, 6, 'Ιμάμ μπαϊλντί', 'Aubergine, onion, a great deal of oil', 9.40, 5, '', 380, 6, 28, 28),
        (2, 46, 6, 'Κλέφτικο', 'Lamb in paper, six hours', 16.80, 7, 'milk', 820, 56, 34, 51),
        (2, 47, 6, 'Στιφάδο', 'Beef, shallots, cinnamon', 14.90, 6, 'celery, sulphites', 640, 48, 30, 36),
        (2, 48, 6, 'Πατάτες τηγανητές', 'Chips, oregano', 4.20, 8, '', 410, 5, 50, 21),
        (2, 49, 6, 'Πατάτες λεμονάτες', 'Oven potatoes, lemon', 4.60, 5, '', 330, 5, 48, 13),
        (2, 50, 7, 'Μπακλαβάς', 'Walnut, pistachio, syrup', 5.90, 2, 'gluten, nuts, milk', 480, 7, 54, 27),
        (2, 51, 7, 'Γαλακτομπούρεκο', 'Semolina custard in filo', 5.60, 2, 'gluten, milk, eggs', 450, 8, 58, 21),
        (2, 52, 7, 'Γιαούρτι με μέλι', 'Sheep''s yoghurt, thyme honey, walnuts', 5.20, 2, 'milk, nuts', 340, 12, 32, 19),
        (2, 53, 7, 'Λουκουμάδες', 'Hot, honey, cinnamon', 6.40, 8, 'gluten', 520, 7, 78, 20),
        (2, 54, 7, 'Παγωτό μαστίχα', 'Mastic ice cream from Chios', 4.80, 2, 'milk', 270, 5, 30, 15),
        (2, 55, 8, 'Ελληνικός καφές', 'Sketos, metrios or glykos', 2.40, 4, '', 15, 0, 3, 0),
        (2, 56, 8, 'Freddo espresso', 'Shaken, on ice', 3.40, 3, '', 10, 0, 2, 0),
        (2, 57, 8, 'Λεμονάδα σπιτική', 'Home-made lemonade', 3.60, 1, '', 120, 0, 30, 0),
        (2, 58, 8, 'Νερό', 'Still water, 1 l', 1.50, 1, '', 0, 0, 0, 0),
        (2, 59, 8, 'Μύθος', 'Lager, 500 ml', 4.20, 1, 'gluten', 200, 2, 15, 0),
        (2, 60, 8, 'Ασύρτικο', 'Dry white from Santorini', 6.80, 1, 'sulphites', 120, 0, 4, 0),
        (2, 61, 8, 'Αγιωργίτικο', 'Red from Nemea', 6.20, 1, 'sulphites', 125, 0, 4, 0),
        (2, 62, 8, 'Ούζο', '200 ml with ice', 8.40, 1, '', 440, 0, 20, 0),
        (2, 63, 8, 'Τσίπουρο', '200 ml, without anise', 8.20, 1, '', 430, 0, 0, 0),
        (2, 64, 9, 'Μαγειρίτσα', 'Easter soup', 8.50, 6, 'eggs, celery', 360, 28, 14, 21),
        (2, 65, 9, 'Αρνί στη σούβλα', 'Spit-roast lamb', 18.50, 10, '', 860, 66, 2, 64)
) as v (
    restaurant, number, category, name, description, price, minutes, allergens, kcal, protein, carbohydrates, fat)
on conflict do nothing;

-- Each modifier is offered with every product of its category; its number counts within the product.
insert into product_modifiers (id, product_id, name, price, required, options, sort_order)
select
    pg_temp.demo_id(v.restaurant, 'b', n * 10 + v.number), p.id, v.name, v.price, v.required, v.options::jsonb, v.number
from (
    values
        (1, 2, 1, 'Salsa', 0, true,
            '[{"name": "Verde", "price": 0}, {"name": "Roja", "price": 0}, {"name": "Habanera 🔥", "price": 0.50}]'),
        (1, 2, 2, 'Tortilla', 0, true, '[{"name": "Maíz", "price": 0}, {"name": "Harina", "price": 0.40}]'),
        (1, 2, 3, 'Extra guacamole', 1.50, false, '[]'),
        (1, 3, 1, 'Beans', 0, true, '[{"name": "Black", "price": 0}, {"name": "Pinto", "price": 0}, {"name": "None", "price": 0}]'),
        (1, 3, 2, 'Extra cheese', 1.20, false, '[]'),
        (1, 3, 3, 'Without coriander', 0, false, '[]'),
        (1, 4, 1, 'Cooked', 0, true, '[{"name": "Medio rojo", "price": 0}, {"name": "Término medio", "price": 0}, {"name": "Bien cocido", "price": 0}]'),
        (1, 7, 1, 'Ice', 0, false, '[{"name": "No ice", "price": 0}, {"name": "Little ice", "price": 0}]'),
        (2, 3, 1, 'Side', 0, true, '[{"name": "Chips", "price": 0}, {"name": "Lemon potatoes", "price": 0}, {"name": "Small horiatiki", "price": 2.00}]'),
        (2, 3, 2, 'Extra pita', 1.00, false, '[]'),
        (2, 4, 1, 'Sauce', 0, true, '[{"name": "Τζατζίκι", "price": 0}, {"name": "Μουστάρδα", "price": 0}, {"name": "Καμία", "price": 0}]'),
        (2, 4, 2, 'Chips inside', 0.50, false, '[]'),
        (2, 4, 3, 'Without onion', 0, false, '[]'),
        (2, 8, 1, 'Ice', 0, false, '[{"name": "Χωρίς πάγο", "price": 0}]')
) as v (restaurant, category, number, name, price, required, options)
cross join generate_series(1, 99) as n
join products p on p.id = pg_temp.demo_id(v.restaurant, 'a', n) and p.category_id = pg_temp.demo_id(v.restaurant, 'c', v.category)
on conflict do nothing;

insert into product_variants (id, product_id, name, price, sku, sort_order)
select
    pg_temp.demo_id(v.restaurant, 'd', v.product * 10 + v.number), pg_temp.demo_id(v.restaurant, 'a', v.product), v.name,
    v.price, v.sku, v.number
from (
    values
        (1, 1, 1, 'For two', 6.50, 'CA-GUA-2'), (1, 1, 2, 'For four', 11.50, 'CA-GUA-4'),
        (1, 11, 1, 'Two', 6.95, 'CA-PAS-2'), (1, 11, 2, 'Three', 9.75, 'CA-PAS-3'), (1, 11, 3, 'Five', 15.50, 'CA-PAS-5'),
        (1, 12, 1, 'Two', 6.75, 'CA-CAR-2'), (1, 12, 2, 'Three', 9.50, 'CA-CAR-3'),
        (1, 47, 1, 'Vaso', 3.50, 'CA-JAM-V'), (1, 47, 2, 'Jarra 1 l', 10.50, 'CA-JAM-J'),
        (1, 48, 1, 'Vaso', 3.75, 'CA-HOR-V'), (1, 48, 2, 'Jarra 1 l', 11.25, 'CA-HOR-J'),
        (1, 53, 1, 'Glass', 9.50, 'CA-MAR-G'), (1, 53, 2, 'Jug', 34.00, 'CA-MAR-J'),
        (1, 60, 1, 'Half pint', 3.25, 'CA-NOR-H'), (1, 60, 2, 'Pint', 5.95, 'CA-NOR-P'),
        (2, 13, 1, 'Μικρή', 6.40, 'EK-XOR-S'), (2, 13, 2, 'Μεγάλη', 8.90, 'EK-XOR-L'),
        (2, 19, 1, '½ kg', 19.80, 'EK-PAI-05'), (2, 19, 2, '1 kg', 38.00, 'EK-PAI-10'),
        (2, 28, 1, 'Pita', 4.20, 'EK-SOU-P'), (2, 28, 2, 'Plate of two', 9.60, 'EK-SOU-M'),
        (2, 60, 1, 'Glass', 6.80, 'EK-ASY-G'), (2, 60, 2, 'Carafe ½ l', 18.50, 'EK-ASY-C'), (2, 60, 3, 'Bottle', 27.00, 'EK-ASY-B'),
        (2, 61, 1, 'Glass', 6.20, 'EK-AGI-G'), (2, 61, 2, 'Bottle', 24.50, 'EK-AGI-B'),
        (2, 62, 1, '100 ml', 4.60, 'EK-OUZ-1'), (2, 62, 2, '200 ml', 8.40, 'EK-OUZ-2')
) as v (restaurant, product, number, name, price, sku)
where exists (select from products p where p.id = pg_temp.demo_id(v.restaurant, 'a', v.product))
on conflict do nothing;

-- This evening's orders ----------------------------------------------------------------------------------------------
-- Numbers below 1001 never come from the sequence. A unit price is the product's plus its modifiers'; an order's total is
-- its subtotal + tax + service + tip − discount.

with demo_orders (
    restaurant, number, table_number, customer, order_type, status, payment, service_rate, discount, tip, minutes_ago, waiter,
    notes) as (
    values
        (1, 1, '1', null, 'dine_in', 'served', 'pending', 0.125, 0.00, 0.00, 74, 3, null),
        (1, 2, '2', null, 'dine_in', 'served', 'pending', 0.125, 5.00, 0.00, 68, 4, 'Birthday: bring the piñata at nine 🎂'),
        (1, 3, '4', null, 'dine_in', 'ready', 'pending', 0.125, 0.00, 0.00, 31, 3, null),
        (1, 4, null, 'Chloë', 'takeaway', 'ready', 'paid', 0, 0.00, 1.50, 27, 5, null),
        (1, 5, '5', null, 'dine_in', 'preparing', 'pending', 0.125, 0.00, 0.00, 22, 4, 'Peanut allergy at seat 2'),
        (1, 6, '7', null, 'dine_in', 'preparing', 'pending', 0.125, 0.00, 0.00, 19, 3, null),
        (1, 7, null, 'Renée Dubois', 'delivery', 'preparing', 'paid', 0, 2.50, 3.00, 18, 5, 'Flat 3, ring twice'),
        (1, 8, '8', null, 'dine_in', 'confirmed', 'pending', 0.125, 0.00, 0.00, 12, 4, null),
        (1, 9, '9', null, 'dine_in', 'confirmed', 'pending', 0.125, 0.00, 0.00, 11, 3, null),
        (1, 10, null, 'Mr Okonkwo', 'takeaway', 'confirmed', 'paid', 0, 0.00, 0.00, 9, 5, null),
        (1, 11, '11', null, 'dine_in', 'pending', 'pending', 0.125, 0.00, 0.00, 6, 4, null),
        (1, 12, null, 'Ana Lúcia', 'delivery', 'pending', 'paid', 0, 0.00, 2.00, 5, 5, null),
        (1, 13, '12', null, 'dine_in', 'pending', 'pending', 0.125, 0.00, 0.00, 4, 3, null),
        (1, 14, '14', null, 'dine_in', 'draft', 'pending', 0.125, 0.00, 0.00, 2, 4, null),
        (1, 15, 'Bar', null, 'dine_in', 'draft', 'pending', 0, 0.00, 0.00, 1, 5, null),
        (1, 16, '3', null, 'dine_in', 'completed', 'paid', 0.125, 0.00, 4.00, 141, 3, null),
        (1, 17, null, 'Wei', 'takeaway', 'cancelled', 'refunded', 0, 0.00, 0.00, 96, 5, 'Ordered twice'),
        (2, 1, 'Α1', null, 'dine_in', 'served', 'pending', 0, 0.00, 0.00, 82, 3, null),
        (2, 2, 'Α3', null, 'dine_in', 'served', 'pending', 0, 0.00, 0.00, 71, 4, null),
        (2, 3, 'Α4', null, 'dine_in', 'ready', 'pending', 0, 0.00, 0.00, 33, 3, null),
        (2, 4, null, 'Κατερίνα', 'takeaway', 'ready', 'paid', 0, 0.00, 0.00, 25, 5, null),
        (2, 5, 'Β1', null, 'dine_in', 'preparing', 'pending', 0, 0.00, 0.00, 24, 4, 'Celiac: no pita near the plate'),
        (2, 6, 'Β2', null, 'dine_in', 'preparing', 'pending', 0, 4.00, 0.00, 20, 3, null),
        (2, 7, null, 'Γιάννης', 'delivery', 'preparing', 'paid', 0, 0.00, 2.00, 17, 5, '3ος όροφος'),
        (2, 8, 'Β4', null, 'dine_in', 'confirmed', 'pending', 0, 0.00, 0.00, 13, 4, null),
        (2, 9, 'Κ1', null, 'dine_in', 'confirmed', 'pending', 0, 0.00, 0.00, 10, 3, null),
        (2, 10, null, 'Ayşe', 'takeaway', 'confirmed', 'paid', 0, 0.00, 0.00, 8, 5, null),
        (2, 11, 'Κ2', null, 'dine_in', 'pending', 'pending', 0, 0.00, 0.00, 6, 4, null),
        (2, 12, null, 'Jürgen', 'delivery', 'pending', 'paid', 0, 0.00, 1.50, 5, 5, null),
        (2, 13, 'Κ3', null, 'dine_in', 'pending', 'pending', 0, 0.00, 0.00, 3, 3, null),
        (2, 14, 'Κ5', null, 'dine_in', 'draft', 'pending', 0, 0.00, 0.00, 2, 4, null),
        (2, 15, 'Α2', null, 'dine_in', 'draft', 'pending', 0, 0.00, 0.00, 1, 3, null),
        (2, 16, 'Α5', null, 'dine_in', 'completed', 'paid', 0, 0.00, 5.00, 150, 4, null),
        (2, 17, null, 'Μάριος', 'takeaway', 'cancelled', 'refunded', 0, 0.00, 0.00, 88, 5, null)
), demo_items (restaurant, order_number, line, product, quantity, extra, modifiers, instructions) as (
    values
        (1, 1, 1, 1, 1, 0.00, '[]', null), (1, 1, 2, 11, 2, 1.50, '[{"name": "Extra guacamole", "price": 1.50}]', null),
        (1, 1, 3, 47, 2, 0.00, '[]', null),
        (1, 2, 1, 33, 2, 0.00, '[]', null), (1, 2, 2, 2, 1, 0.00, '[]', null), (1, 2, 3, 53, 4, 0.00, '[]', null),
        (1, 2, 4, 46, 1, 0.00, '[]', 'With a candle'),
        (1, 3, 1, 19, 2, 0.50, '[{"name": "Salsa", "option": "Habanera 🔥", "price": 0.50}]', null), (1, 3, 2, 59, 2, 0.00, '[]', null),
        (1, 4, 1, 22, 1, 1.20, '[{"name": "Extra cheese", "price": 1.20}]', null), (1, 4, 2, 42, 1, 0.00, '[]', null),
        (1, 5, 1, 29, 1, 0.00, '[{"name": "Cooked", "option": "Término medio", "price": 0}]', null),
        (1, 5, 2, 14, 1, 0.00, '[]', 'No peanuts anywhere near'), (1, 5, 3, 36, 2, 0.00, '[]', null),
        (1, 6, 1, 12, 3, 0.40, '[{"name": "Tortilla", "option": "Harina", "price": 0.40}]', null), (1, 6, 2, 4, 3, 0.00, '[]', null),
        (1, 6, 3, 58, 3, 0.00, '[]', null),
        (1, 7, 1, 24, 1, 0.00, '[]', null), (1, 7, 2, 23, 1, 0.00, '[{"name": "Without coriander", "price": 0}]', null),
        (1, 7, 3, 50, 2, 0.00, '[]', 'Mandarin'),
        (1, 8, 1, 10, 1, 0.00, '[]', null), (1, 8, 2, 16, 1, 0.00, '[]', null), (1, 8, 3, 56, 2, 0.00, '[]', null),
        (1, 9, 1, 28, 2, 0.00, '[]', null), (1, 9, 2, 35, 1, 0.00, '[]', null), (1, 9, 3, 48, 2, 0.00, '[]', null),
        (1, 10, 1, 21, 2, 0.00, '[]', null), (1, 10, 2, 37, 1, 0.00, '[]', null),
        (1, 11, 1, 30, 1, 0.00, '[]', null), (1, 11, 2, 32, 1, 0.00, '[]', null), (1, 11, 3, 60, 2, 0.00, '[]', null),
        (1, 12, 1, 25, 1, 0.00, '[]', null), (1, 12, 2, 39, 2, 0.00, '[]', null), (1, 12, 3, 43, 1, 0.00, '[]', null),
        (1, 13, 1, 15, 2, 1.90, '[{"name": "Tortilla", "option": "Harina", "price": 0.40}, {"name": "Extra guacamole", "price": 1.50}]', null),
        (1, 13, 2, 57, 2, 0.00, '[]', null),
        (1, 14, 1, 6, 4, 0.00, '[]', null), (1, 14, 2, 3, 2, 0.00, '[]', null),
        (1, 15, 1, 62, 1, 0.00, '[]', null), (1, 15, 2, 61, 1, 0.00, '[]', null),
        (1, 16, 1, 31, 1, 0.00, '[]', null), (1, 16, 2, 27, 1, 0.00, '[]', null), (1, 16, 3, 44, 2, 0.00, '[]', null),
        (1, 17, 1, 26, 1, 0.00, '[]', null),
        (2, 1, 1, 13, 1, 0.00, '[]', null), (2, 1, 2, 19, 2, 2.00, '[{"name": "Side", "option": "Small horiatiki", "price": 2.00}]', null),
        (2, 1, 3, 61, 2, 0.00, '[]', null),
        (2, 2, 1, 26, 1, 0.00, '[]', null), (2, 2, 2, 1, 2, 0.00, '[]', null), (2, 2, 3, 59, 4, 0.00, '[]', null),
        (2, 3, 1, 42, 1, 0.00, '[]', null), (2, 3, 2, 46, 1, 0.00, '[]', null), (2, 3, 3, 58, 1, 0.00, '[]', null),
        (2, 4, 1, 28, 4, 0.50, '[{"name": "Chips inside", "price": 0.50}]', null), (2, 4, 2, 30, 2, 0.00, '[]', 'Without mustard'),
        (2, 5, 1, 39, 1, 0.00, '[]', null), (2, 5, 2, 15, 1, 0.00, '[]', null), (2, 5, 3, 60, 1, 0.00, '[]', null),
        (2, 6, 1, 23, 2, 1.00, '[{"name": "Extra pita", "price": 1.00}]', null), (2, 6, 2, 5, 1, 0.00, '[]', null),
        (2, 6, 3, 57, 2, 0.00, '[]', null),
        (2, 7, 1, 34, 1, 0.00, '[]', null), (2, 7, 2, 35, 1, 0.00, '[{"name": "Without onion", "price": 0}]', null),
        (2, 8, 1, 36, 1, 0.00, '[]', null), (2, 8, 2, 2, 1, 0.00, '[]', null), (2, 8, 3, 62, 1, 0.00, '[]', null),
        (2, 9, 1, 22, 1, 0.00, '[]', null), (2, 9, 2, 49, 1, 0.00, '[]', null), (2, 9, 3, 7, 1, 0.00, '[]', null),
        (2, 10, 1, 32, 3, 0.00, '[]', null), (2, 10, 2, 50, 2, 0.00, '[]', null),
        (2, 11, 1, 21, 2, 0.00, '[]', null), (2, 11, 2, 14, 1, 0.00, '[]', null), (2, 11, 3, 56, 2, 0.00, '[]', null),
        (2, 12, 1, 31, 2, 0.00, '[]', null), (2, 12, 2, 48, 1, 0.00, '[]', null),
        (2, 13, 1, 38, 1, 0.00, '[]', null), (2, 13, 2, 41, 1, 0.00, '[]', null), (2, 13, 3, 11, 2, 0.00, '[]', null),
        (2, 14, 1, 53, 1, 0.00, '[]', 'Extra cinnamon'), (2, 14, 2, 55, 2, 0.00, '[]', 'Metrios'),
        (2, 15, 1, 17, 1, 0.00, '[]', null), (2, 15, 2, 63, 1, 0.00, '[]', null),
        (2, 16, 1, 20, 2, 0.00, '[]', null), (2, 16, 2, 16, 1, 0.00, '[]', null), (2, 16, 3, 51, 2, 0.00, '[]', null),
        (2, 17, 1, 29, 2, 0.00, '[]', null)
), priced as (
    select
        i.*, p.id as product_id, p.name as product_name, p.price + i.extra as unit_price,
        i.quantity * (p.price + i.extra) as total_price
    from demo_items i
    join products p on p.id = pg_temp.demo_id(i.restaurant, 'a', i.product)
), charged as (
    select
        o.*, s.subtotal,
        round(s.subtotal * case o.restaurant when 1 then 0.20 else 0.13 end, 2) as tax,
        round(s.subtotal * o.service_rate, 2) as service
    from demo_orders o
    join (
        select p.restaurant, p.order_number, sum(p.total_price) as subtotal
        from priced p
        group by p.restaurant, p.order_number
    ) s on s.restaurant = o.restaurant and s.order_number = o.number
), inserted as (
    insert into orders (
        id, restaurant_id, order_number, table_number, customer_name, order_type, status, payment_status, subtotal, tax_amount,
        service_charge, discount_amount, tip_amount, total_amount, notes, created_by, created_at, updated_at, completed_at)
    select
        pg_temp.demo_id(c.restaurant, 'e', c.number), pg_temp.demo_restaurant(c.restaurant), 'ORD-' || 900 + c.number,
        c.table_number, c.customer, c.order_type, c.status, c.payment, c.subtotal, c.tax, c.service, c.discount, c.tip,
        c.subtotal + c.tax + c.service + c.tip - c.discount, c.notes, u.id,
        now() - c.minutes_ago * interval '1 minute', now() - c.minutes_ago * interval '1 minute' / 2,
        case when c.status = 'completed' then now() - c.minutes_ago * interval '1 minute' / 2 end
    from charged c
    left join users u on u.id = pg_temp.demo_id(c.restaurant, '0', c.waiter)
    order by c.restaurant, c.number
    on conflict do nothing
    returning id
)
insert into order_items (
    id, order_id, product_id, product_name, quantity, unit_price, total_price, modifiers, special_instructions, status,
    sort_order)
select
    pg_temp.demo_id(p.restaurant, 'f', p.order_number * 100 + p.line), o.id, p.product_id, p.product_name, p.quantity,
    p.unit_price, p.total_price, p.modifiers::jsonb, p.instructions,
    case
        when c.status in ('draft', 'pending', 'confirmed') then 'pending'
        when c.status = 'completed' then 'served'
        else c.status
    end,
    p.line
from priced p
join charged c on c.restaurant = p.restaurant and c.number = p.order_number
join inserted o on o.id = pg_temp.demo_id(p.restaurant, 'e', p.order_number)
on conflict do nothing;

drop function pg_temp.demo_id(integer, text, integer);
drop function pg_temp.demo_restaurant(integer);
